#!/usr/bin/env python3
"""Checks a jsonl export of the journal by docs/journal.md, without NeoStock Ops: verify_journal.py FILE [PUBLIC_KEY]
The journal's keys, if any, are in NEOSTOCK_JOURNAL_KEY and NEOSTOCK_JOURNAL_KEY_PREVIOUS."""
import hashlib, hmac, json, os, shutil, subprocess, sys, tempfile

def fail(where, what):
    sys.exit(f"{where}: {what}")

def compact(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

def read(line, where):  # a line as this format writes it, and in no other way
    try:
        value = json.loads(line.decode())
        if compact(value).encode() + b"\n" == line:
            return value
    except (ValueError, RecursionError):
        pass
    fail(where, "not as it is written")

def row_hash(row, where):
    numbers = [row[name].to_bytes(8, "big", signed=True) for name in ("seq", "at_ms")]
    texts = ("actor", "origin", "kind", "subject", "detail", "key_id", "prev_hash")
    columns = [b"neostock journal 1", *numbers, *(row[name].encode() for name in texts)]
    data = b"".join(len(column).to_bytes(8, "big") + column for column in columns)
    if row["key_id"] == "":
        return hashlib.sha256(data).hexdigest()
    key = KEYS.get(row["key_id"])  # without it the digest, the links and the signature are left
    return hmac.new(key, data, hashlib.sha256).hexdigest() if key else row["hash"]

def check_signature(head, line, public_key):
    if public_key and head["public_key"] != public_key.lower():
        fail("head", "not signed with this key")
    if head["signature"] != head["signature"].lower():
        fail("head", "the signature is not as it is written")
    if not head["public_key"]:
        return "not signed"
    if not shutil.which("openssl"):
        return "signature not checked: there is no openssl"
    with tempfile.TemporaryDirectory() as folder:
        parts = {"text": line[: line.rindex(b',"signature":')] + b"}",
                 "signature": bytes.fromhex(head["signature"]),
                 "key": bytes.fromhex("302a300506032b6570032100" + head["public_key"])}
        for name, content in parts.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(content)
        command = "openssl pkeyutl -verify -rawin -pubin -keyform DER -inkey key -sigfile signature -in text"
        done = subprocess.run(command.split(), cwd=folder, capture_output=True, check=False)
        return "signed" if done.returncode == 0 else fail("head", "the signature is wrong")

def main(path, public_key=""):
    with open(path, "rb") as file:
        for line in file:
            head_line = line
        head = read(head_line, "head")
        if head.get("format") != "neostock journal export 1" or head["encoding"] != "jsonl":
            fail("head", "not a jsonl export of this format")
        wanted = [head["filter"][name] for name in ("since_ms", "until_ms", "kind", "actor", "subject")]
        is_whole = wanted == [None, None, "", "", ""]
        file.seek(0)
        digest, count, first, seq, prev = hashlib.sha256(), 0, 0, 0, "0" * 64
        while (line := file.readline()) != head_line or count < head["count"]:
            count += 1
            row = read(line, f"line {count}")
            try:
                is_next = row["seq"] == seq + 1
                if first and (row["seq"] <= seq or (is_whole and not is_next)):
                    fail(f"line {count}", f"entry {row['seq']} is misplaced")
                if is_next and row["prev_hash"] != prev:
                    fail(f"line {count}", f"entry {row['seq']} does not follow the one before")
                if len(row) != 10 or row_hash(row, count) != row["hash"]:
                    fail(f"line {count}", f"entry {row['seq']} was changed")
            except (KeyError, TypeError, AttributeError, OverflowError):
                fail(f"line {count}", "not an entry")
            digest.update(line)
            first, seq, prev = first or row["seq"], row["seq"], row["hash"]
        if digest.hexdigest() != head["sha256"]:
            fail("head", "the lines have another SHA-256")
        if [count, first, seq] != [head[name] for name in ("count", "first_seq", "last_seq")]:
            fail("head", "other entries than it says")
        end = min(head["head_seq"], head["filter"]["to_seq"] or head["head_seq"])
        if seq > end or (is_whole and seq < end) or (seq == head["head_seq"] and seq and prev != head["head_hash"]):
            fail("head", "the last entry is not the chain's end")
    print(f"{count} entries, {check_signature(head, head_line[:-1], public_key)}, head {head['head_seq']}:{head['head_hash']}")

SECRETS = [os.environ.get("NEOSTOCK_JOURNAL_KEY", ""), *os.environ.get("NEOSTOCK_JOURNAL_KEY_PREVIOUS", "").split(",")]
KEYS = {hashlib.sha256(b"neostock journal key id" + key.strip().encode()).hexdigest()[:16]: key.strip().encode() for key in SECRETS if key.strip()}
if len(sys.argv) not in (2, 3):
    sys.exit(__doc__)
try:
    main(*sys.argv[1:])
except (KeyError, TypeError, AttributeError, ValueError):
    fail("head", "not as this format writes it")
except OSError as error:
    fail(sys.argv[1], error)
