//! What a step hands to later steps: `name=value` lines in the file that `NEOSTOCK_OUTPUTS` names.
//!
//! The file belongs to the user the step runs as, so nothing in it is believed: it is opened without
//! following a link, must be a file of that user, and is read up to a limit. What does not fit the
//! rules is a named fault on the record, and never fails the step here.

use super::redact;
use super::spec::StepSpec;
use super::user::Account;
use crate::core::text::Text;
use crate::entropy;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The variable that names the file; set only for a step that declares outputs.
pub const VARIABLE: &str = "NEOSTOCK_OUTPUTS";
/// All lines together.
pub const ALL_BYTES_MAX: usize = 64 * 1024;
/// One value.
pub const VALUE_BYTES_MAX: usize = 4 * 1024;
/// Faults on one record; after them the rest says nothing new.
const FAULTS_MAX: usize = 20;
/// Letters of a name as a fault shows it.
const NAME_CHARS_MAX: usize = 40;
/// Where another user may write a file of their own: the attempt's folder is the bot's alone.
const SHARED_FOLDER: &str = "/tmp";

/// What was wrong with what a step handed on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputFault {
    /// The step succeeded and did not write this declared output.
    Missing(String),
    /// It wrote a name that it does not declare.
    Undeclared(String),
    /// The value is over [`VALUE_BYTES_MAX`].
    TooLong(String),
    /// The value holds a control character, NUL among them, or is not UTF-8.
    NotText(String),
    /// The value held a secret; what is kept has `[redacted]` in its place.
    HeldSecret(String),
    /// This line, from 1, is no `name=value`.
    NotAnOutput(usize),
    /// Together over [`ALL_BYTES_MAX`]: nothing beyond was read.
    TooMuch,
    /// The file could not be read, or was no file of the step's user any more; the text says why.
    Unreadable(String),
}

impl OutputFault {
    /// For people.
    pub fn words(&self) -> Text {
        match self {
            Self::Missing(name) => Text::new(
                format!(
                    "步骤成功了，但没有写出声明的输出 `{name}`。请在脚本里把 `{name}=值` 写进 `${VARIABLE}`"
                ),
                format!(
                    "it succeeded without writing its declared output `{name}`. Write `{name}=value` into the file `${VARIABLE}`"
                ),
            ),
            Self::Undeclared(name) => Text::new(
                format!("写出了没有声明的输出 `{name}`。请在步骤的 `outputs` 里声明它"),
                format!(
                    "it wrote the output `{name}`, which it does not declare. Declare it in the step's `outputs`"
                ),
            ),
            Self::TooLong(name) => Text::new(
                format!("输出 `{name}` 超过 {VALUE_BYTES_MAX} 字节。请写短一些，或写文件名"),
                format!(
                    "the output `{name}` is over {VALUE_BYTES_MAX} bytes. Shorten it, or hand on a file's name"
                ),
            ),
            Self::NotText(name) => Text::new(
                format!("输出 `{name}` 含有控制字符或不是 UTF-8。请只写一行文字"),
                format!(
                    "the output `{name}` holds control characters or is not UTF-8. Write one line of text"
                ),
            ),
            Self::HeldSecret(name) => Text::new(
                format!("输出 `{name}` 含有机密，已被遮盖。机密不能交给后面的步骤：请在那里声明它"),
                format!(
                    "the output `{name}` held a secret, which was taken out. A secret is not handed on: declare it where it is needed"
                ),
            ),
            Self::NotAnOutput(line) => Text::new(
                format!("输出文件的第 {line} 行不是 `名称=值`"),
                format!("line {line} of the outputs is no `name=value`"),
            ),
            Self::TooMuch => Text::new(
                format!("输出一共超过 {ALL_BYTES_MAX} 字节，后面的没有读"),
                format!(
                    "the outputs are over {ALL_BYTES_MAX} bytes together; the rest was not read"
                ),
            ),
            Self::Unreadable(why) => Text::new(
                format!("输出文件读不了：{why}"),
                format!("the outputs cannot be read: {why}"),
            ),
        }
    }
}

/// The outputs of one step and what was wrong with them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Handed {
    pub outputs: BTreeMap<String, String>,
    pub faults: Vec<OutputFault>,
}

/// The file, from before the step until its outputs are read.
pub(super) struct Handover {
    path: PathBuf,
    owner: u32,
}

impl Handover {
    /// Makes the file for a step that declares outputs; `dir` is the attempt's folder.
    ///
    /// # Errors
    /// What the file system says; the step was not started.
    pub fn prepare(
        dir: &Path,
        spec: &StepSpec,
        account: Option<&Account>,
    ) -> io::Result<Option<Self>> {
        if spec.outputs.is_empty() {
            return Ok(None);
        }
        let me = nix::unistd::geteuid();
        let other = account.filter(|account| account.uid != me);
        let path = if other.is_some() {
            let name = format!("neostock-outputs-{}", hex::encode(entropy::bytes::<16>()));
            Path::new(SHARED_FOLDER).join(name)
        } else {
            fs::canonicalize(dir)?.join("outputs")
        };
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let handover = Self { path, owner: other.map_or(me, |account| account.uid).as_raw() };
        if let Some(account) = other {
            account.give(&file)?;
        }
        Ok(Some(handover))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what the step handed on; the file goes.
    pub fn take(self, spec: &StepSpec, is_success: bool) -> Handed {
        let mut handed = match self.read() {
            Ok(bytes) => read_lines(&bytes, spec),
            Err(fault) => Handed {
                faults: vec![OutputFault::Unreadable(fault.to_string())],
                ..Handed::default()
            },
        };
        if is_success {
            let missing = spec.outputs.iter().filter(|name| !handed.outputs.contains_key(*name));
            let missing: Vec<_> = missing.cloned().map(OutputFault::Missing).collect();
            handed.faults.extend(missing);
        }
        handed
    }

    /// Whatever stands there now: one byte beyond the limit tells that there is more.
    fn read(&self) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(&self.path, flags, Mode::empty())?);
        let about = file.metadata()?;
        if !about.is_file() || about.uid() != self.owner {
            return Err(io::Error::other("it is no file of the step's user any more"));
        }
        let mut bytes = Vec::new();
        file.take(ALL_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Drop for Handover {
    fn drop(&mut self) {
        // One that cannot be removed is private to the step's user all the same.
        let _ = fs::remove_file(&self.path);
    }
}

/// Reads `name=value` lines; of a name that comes twice the last counts.
fn read_lines(bytes: &[u8], spec: &StepSpec) -> Handed {
    let mut handed = Handed::default();
    let is_too_much = bytes.len() > ALL_BYTES_MAX;
    let bytes = &bytes[..bytes.len().min(ALL_BYTES_MAX)];
    // The line that the limit cut is not one.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    let bytes = if is_too_much { &bytes[..whole] } else { bytes };
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        if let Err(fault) = read_line(line, index + 1, spec, &mut handed.outputs)
            && handed.faults.len() < FAULTS_MAX
        {
            handed.faults.push(fault);
        }
    }
    if is_too_much {
        handed.faults.push(OutputFault::TooMuch);
    }
    handed
}

fn read_line(
    line: &[u8],
    number: usize,
    spec: &StepSpec,
    outputs: &mut BTreeMap<String, String>,
) -> Result<(), OutputFault> {
    let equals = line.iter().position(|byte| *byte == b'=').filter(|equals| *equals > 0);
    let Some((name, value)) = equals.map(|equals| (&line[..equals], &line[equals + 1..])) else {
        return Err(OutputFault::NotAnOutput(number));
    };
    let declared = spec.outputs.iter().find(|declared| declared.as_bytes() == name);
    let Some(name) = declared.cloned() else {
        return Err(OutputFault::Undeclared(shown_name(name, spec)));
    };
    if value.len() > VALUE_BYTES_MAX {
        return Err(OutputFault::TooLong(name));
    }
    let value = match std::str::from_utf8(value) {
        Ok(value) if !value.contains(|letter: char| letter.is_control() && letter != '\t') => value,
        _ => return Err(OutputFault::NotText(name)),
    };
    let shown = redact::text(&spec.secrets, value);
    let held_secret = shown != value;
    outputs.insert(name.clone(), shown);
    if held_secret { Err(OutputFault::HeldSecret(name)) } else { Ok(()) }
}

/// A name that the step made up: short, clean, and without secrets.
fn shown_name(name: &[u8], spec: &StepSpec) -> String {
    let name = redact::text(&spec.secrets, &String::from_utf8_lossy(name));
    name.chars().filter(|letter| !letter.is_control()).take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::id::AttemptId;

    fn spec() -> StepSpec {
        let mut spec = StepSpec::new(AttemptId::new("A-1"), vec!["x".into()], "/", 1);
        spec.outputs = vec!["version".into(), "path".into()];
        spec.secrets = vec!["hunter2hunter2".into()];
        spec
    }

    #[test]
    fn lines_become_outputs_and_the_last_of_a_name_counts() {
        let handed = read_lines(b"version=1\n\npath=/a=b c\t\r\nversion=2", &spec());

        assert_eq!(handed.faults, []);
        let expected = [("path", "/a=b c\t"), ("version", "2")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(handed.outputs, BTreeMap::from(expected));
    }

    #[test]
    fn what_breaks_a_rule_is_a_named_fault_and_the_rest_counts() {
        use OutputFault::{NotAnOutput, NotText, TooLong, Undeclared};
        let long = "x".repeat(VALUE_BYTES_MAX + 1);
        let lines = format!("nothing\n=x\nother=1\nversion={long}\nversion=a\0b\npath=ok\n");

        let handed = read_lines(lines.as_bytes(), &spec());

        let expected = [
            NotAnOutput(1),
            NotAnOutput(2),
            Undeclared("other".into()),
            TooLong("version".into()),
            NotText("version".into()),
        ];
        assert_eq!(handed.faults, expected);
        assert_eq!(handed.outputs.keys().collect::<Vec<_>>(), ["path"]);
    }

    #[test]
    fn a_secret_is_taken_out_of_a_value_and_of_a_made_up_name() {
        let handed = read_lines(b"version=v-hunter2hunter2\nhunter2hunter2=1\n", &spec());

        assert_eq!(handed.outputs["version"], "v-[redacted]");
        let undeclared = OutputFault::Undeclared("[redacted]".into());
        assert_eq!(handed.faults, [OutputFault::HeldSecret("version".into()), undeclared]);
    }

    #[test]
    fn beyond_the_limit_nothing_is_read_and_a_cut_line_is_none() {
        let mut lines = "version=1\n".repeat(ALL_BYTES_MAX / 10).into_bytes();
        lines.extend_from_slice(b"version=2\n");

        let handed = read_lines(&lines, &spec());

        assert_eq!(handed.outputs["version"], "1");
        assert_eq!(handed.faults, [OutputFault::TooMuch]);
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics_and_shows_no_control_character(bytes: Vec<u8>) {
            for value in read_lines(&bytes, &spec()).outputs.values() {
                proptest::prop_assert!(!value.contains('\0'));
            }
        }
    }
}
