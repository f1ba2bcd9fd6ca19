//! What the bot asks a supervisor to run. It travels as JSON on the supervisor's standard input, so
//! that neither arguments nor secrets stand in its command line or environment.
//!
//! Must never be printed whole: its `Debug` shows no value of the environment and no secret.

use super::redact;
use crate::core::id::AttemptId;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;

/// The longest specification a supervisor reads.
pub const SPEC_BYTES_MAX: u64 = 1024 * 1024;
/// How much output is kept from its beginning when the specification does not say.
pub const OUTPUT_BYTES_MAX: u64 = 1024 * 1024;
/// How long a program has between TERM and KILL when the specification does not say.
pub const GRACE_MS: u64 = 5_000;

/// One attempt at one step, with everything resolved.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepSpec {
    /// The attempt; it marks every process that comes of it.
    pub attempt: AttemptId,
    /// The program and its arguments, each one element: no shell reads them.
    pub argv: Vec<String>,
    /// Where the program runs; absolute.
    pub workdir: PathBuf,
    /// The whole environment of the program, in order; a later entry wins.
    pub env: Vec<(String, String)>,
    /// Values that must never reach the output, at least four bytes each (shorter ones would
    /// redact ordinary text and are ignored).
    #[serde(default)]
    pub secrets: Vec<String>,
    /// After this long everything the step started is stopped.
    pub timeout_ms: u64,
    /// Between TERM and KILL.
    #[serde(default = "default_grace_ms")]
    pub grace_ms: u64,
    /// The step is meant to leave processes running: name them, do not stop them. On time-out and
    /// cancellation they are stopped all the same.
    #[serde(default)]
    pub leaves_processes: bool,
    /// The system user the step runs as; `None`: the bot's own. Another needs a bot that may change
    /// users.
    #[serde(default)]
    pub user: Option<String>,
    /// Names of what the step may hand to later steps, see [`super::handed`].
    #[serde(default)]
    pub outputs: Vec<String>,
    /// How much of the output is kept from its beginning; beyond it, the last 64 KiB.
    #[serde(default = "default_output_bytes_max")]
    pub output_bytes_max: u64,
}

fn default_grace_ms() -> u64 {
    GRACE_MS
}

fn default_output_bytes_max() -> u64 {
    OUTPUT_BYTES_MAX
}

impl StepSpec {
    /// A specification with an empty environment, no secrets and the default limits.
    pub fn new(
        attempt: AttemptId,
        argv: Vec<String>,
        workdir: impl Into<PathBuf>,
        timeout_ms: u64,
    ) -> Self {
        Self {
            attempt,
            argv,
            workdir: workdir.into(),
            env: Vec::new(),
            secrets: Vec::new(),
            timeout_ms,
            grace_ms: GRACE_MS,
            leaves_processes: false,
            user: None,
            outputs: Vec::new(),
            output_bytes_max: OUTPUT_BYTES_MAX,
        }
    }

    /// Reads a specification to the end of `input`.
    ///
    /// # Errors
    /// When the input is longer than [`SPEC_BYTES_MAX`], cut short (its writer died), not a
    /// specification, or names no program or a relative directory. Nothing was started.
    pub(super) fn read_from(input: impl Read) -> io::Result<Self> {
        let mut json = Vec::new();
        input.take(SPEC_BYTES_MAX + 1).read_to_end(&mut json)?;
        if json.len() as u64 > SPEC_BYTES_MAX {
            return Err(invalid("the specification is too long"));
        }
        // The parser's own words could quote a secret; where it stopped is enough.
        let spec: Self = serde_json::from_slice(&json).map_err(|fault| {
            invalid(&format!("not a specification (column {})", fault.column()))
        })?;
        if spec.argv.first().is_none_or(String::is_empty) {
            return Err(invalid("the specification names no program"));
        }
        if !spec.workdir.is_absolute() {
            return Err(invalid("the working directory is not absolute"));
        }
        Ok(spec)
    }
}

fn invalid(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

impl fmt::Debug for StepSpec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let argv: Vec<_> = self.argv.iter().map(|arg| redact::text(&self.secrets, arg)).collect();
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        out.debug_struct("StepSpec")
            .field("attempt", &self.attempt)
            .field("argv", &argv)
            .field("workdir", &self.workdir)
            .field("env_names", &names)
            .field("secrets", &self.secrets.len())
            .field("timeout_ms", &self.timeout_ms)
            .field("grace_ms", &self.grace_ms)
            .field("leaves_processes", &self.leaves_processes)
            .field("user", &self.user)
            .field("outputs", &self.outputs)
            .field("output_bytes_max", &self.output_bytes_max)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> StepSpec {
        let argv = vec!["curl".into(), "token=hunter2hunter2".into()];
        let mut spec = StepSpec::new(AttemptId::new("A-1"), argv, "/srv", 1_000);
        spec.env = vec![("TOKEN".into(), "in-the-environment".into())];
        spec.secrets = vec!["hunter2hunter2".into()];
        spec
    }

    #[test]
    fn debug_shows_no_value_and_no_secret() {
        let shown = format!("{:?}", spec());

        assert!(shown.contains("TOKEN") && shown.contains("[redacted]"), "{shown}");
        assert!(!shown.contains("hunter2") && !shown.contains("in-the-env"), "{shown}");
    }

    #[test]
    fn a_specification_survives_the_pipe() {
        let json = serde_json::to_vec(&spec()).unwrap();

        assert_eq!(StepSpec::read_from(&json[..]).unwrap(), spec());
    }

    #[test]
    fn a_specification_cut_short_anywhere_is_refused_without_quoting_it() {
        let json = serde_json::to_vec(&spec()).unwrap();

        for cut in 0..json.len() {
            let fault = StepSpec::read_from(&json[..cut]).unwrap_err().to_string();
            assert!(!fault.contains("hunter2"), "{fault}");
        }
    }

    #[test]
    fn a_specification_without_a_program_or_with_a_relative_directory_is_refused() {
        for broken in [
            StepSpec { argv: vec![], ..spec() },
            StepSpec { argv: vec![String::new()], ..spec() },
            StepSpec { workdir: "srv".into(), ..spec() },
        ] {
            let json = serde_json::to_vec(&broken).unwrap();
            assert!(StepSpec::read_from(&json[..]).is_err(), "{broken:?}");
        }
    }
}
