//! Secrets are read when a step starts, never earlier, and are never printed.

use crate::core::action::SecretSource;
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;

/// The longest secret; a certificate chain fits.
const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Why a secret has no value. Its words never hold the value.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not set, or is empty.
    #[error("the bot's environment has no variable {0}")]
    Unset(String),
    /// The variable's value is not text.
    #[error("the variable {0} is not UTF-8 text")]
    NotText(String),
    /// The file cannot be read.
    #[error("{path} cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is empty, too long, or not text that an environment variable can hold.
    #[error("{path} is not a secret: {reason}")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// One secret of a step that could not be read.
#[derive(Debug, thiserror::Error)]
#[error("secret {name}: {cause}")]
pub struct Unresolved {
    /// Its name in the runbook.
    pub name: String,
    /// Why.
    pub cause: SecretError,
}

/// The values of all secrets, in the order of their names.
///
/// # Errors
/// Every secret that has no value; a step then does not start.
pub fn resolve(
    sources: &BTreeMap<String, SecretSource>,
) -> Result<Vec<(String, SecretString)>, Vec<Unresolved>> {
    let mut values = Vec::new();
    let mut missing = Vec::new();
    for (name, source) in sources {
        match read_one(source) {
            Ok(value) => values.push((name.clone(), value)),
            Err(cause) => missing.push(Unresolved { name: name.clone(), cause }),
        }
    }
    if missing.is_empty() { Ok(values) } else { Err(missing) }
}

/// The value of one secret, from the environment or a file.
pub(super) fn read_one(source: &SecretSource) -> Result<SecretString, SecretError> {
    match source {
        SecretSource::Env(name) => match std::env::var_os(name) {
            Some(value) if !value.is_empty() => {
                let text = value.into_string().map_err(|_| SecretError::NotText(name.clone()))?;
                Ok(SecretString::from(text))
            }
            _ => Err(SecretError::Unset(name.clone())),
        },
        SecretSource::File(path) => {
            let unreadable = |cause| SecretError::Unreadable { path: path.clone(), cause };
            let unusable = |reason| SecretError::Unusable { path: path.clone(), reason };
            let mut bytes = Vec::new();
            let file = std::fs::File::open(path).map_err(unreadable)?;
            file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
            if bytes.len() as u64 > SECRET_BYTES_MAX {
                return Err(unusable("it is longer than 64 KiB"));
            }
            let mut text =
                String::from_utf8(bytes).map_err(|_| unusable("it is not UTF-8 text"))?;
            if text.ends_with('\n') {
                text.pop();
                if text.ends_with('\r') {
                    text.pop();
                }
            }
            match text.as_str() {
                "" => Err(unusable("it is empty")),
                held if held.contains('\0') => Err(unusable("it holds a NUL character")),
                _ => Ok(SecretString::from(text)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn from_file(bytes: &[u8]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, bytes).unwrap();
        let value = read_one(&SecretSource::File(path));
        value
            .map(|value| value.expose_secret().to_owned())
            .map_err(|error| error.to_string().replace(&folder.path().display().to_string(), ""))
    }

    #[test]
    fn one_newline_at_the_end_of_a_file_is_cut() {
        assert_eq!(from_file(b"hunter2"), Ok("hunter2".to_owned()));
        assert_eq!(from_file(b"hunter2\n"), Ok("hunter2".to_owned()));
        assert_eq!(from_file(b"hunter2\r\n"), Ok("hunter2".to_owned()));
        assert_eq!(from_file(b"hunter2\n\n"), Ok("hunter2\n".to_owned()));
    }

    #[test]
    fn a_file_that_holds_no_secret_is_refused_without_quoting_it() {
        assert_eq!(from_file(b"\n"), Err("/secret is not a secret: it is empty".to_owned()));
        assert_eq!(
            from_file(b"hunter\xff"),
            Err("/secret is not a secret: it is not UTF-8 text".to_owned())
        );
        assert_eq!(
            from_file(b"a\0b"),
            Err("/secret is not a secret: it holds a NUL character".to_owned())
        );
        assert_eq!(
            from_file(&vec![b'x'; 64 * 1024 + 2]),
            Err("/secret is not a secret: it is longer than 64 KiB".to_owned())
        );
    }

    #[test]
    fn every_missing_secret_is_named() {
        let sources = BTreeMap::from([
            ("A".to_owned(), SecretSource::Env("NEOSTOCK_TEST_NOT_SET".to_owned())),
            ("B".to_owned(), SecretSource::File(PathBuf::from("/nowhere/at/all"))),
            ("C".to_owned(), SecretSource::Env("PATH".to_owned())),
        ]);

        let missing = resolve(&sources).unwrap_err();

        let words = missing.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            words[0],
            "secret A: the bot's environment has no variable NEOSTOCK_TEST_NOT_SET"
        );
        assert!(words[1].starts_with("secret B: /nowhere/at/all cannot be read: "), "{}", words[1]);
        assert_eq!(words.len(), 2);
    }
}
