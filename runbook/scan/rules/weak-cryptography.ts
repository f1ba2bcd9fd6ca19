import { createCipheriv, createHash } from "node:crypto";

export function hashes(text: string, key: Buffer, iv: Buffer): unknown[] {
  return [
    // ruleid: weak-cryptography
    createHash("md5").update(text).digest("hex"),
    // ruleid: weak-cryptography
    new Bun.CryptoHasher("sha1").update(text).digest("hex"),
    // ruleid: weak-cryptography
    createCipheriv("aes-128-ecb", key, iv),
    // ok: weak-cryptography
    createHash("sha256").update(text).digest("hex"),
    // ok: weak-cryptography
    createCipheriv("aes-256-gcm", key, iv),
  ];
}
