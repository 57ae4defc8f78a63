//! The data directory, and the cookie that is kept in it.

use std::{
    fs::{self, OpenOptions},
    io::{ErrorKind, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use quarry_ports::Host;

use crate::{
    configuration::Secret,
    failure::{Exit, Failure},
};

/// Makes the directory where it is missing, for its owner alone; its absolute path.
pub(crate) fn create(path: &Path) -> Result<PathBuf, Failure> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.and_then(|()| path.canonicalize()).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("the data directory {} cannot be used: {error}", path.display()),
    )
    .advise("name another directory with --data (node.data_dir)")
}

/// Reads the cookie in `file`.
///
/// # Errors
/// Where it cannot be read or is too short.
pub(crate) fn read_cookie(file: &Path) -> Result<Secret, Failure> {
    let text = fs::read_to_string(file).map_err(|error| {
        let message = format!("the cookie file {} cannot be read: {error}", file.display());
        Failure::new(Exit::Usage, message).advise("check cluster.cookie_file")
    })?;
    let text = text.trim();
    if text.len() < 32 {
        let message = format!("the cookie in {} has {} bytes, not 32", file.display(), text.len());
        return Err(
            Failure::new(Exit::Usage, message).advise("make one with `openssl rand -hex 32`")
        );
    }
    Ok(Secret::new(text.to_owned()))
}

/// The cookie in `file`, which is made of 32 random bytes where it is missing.
///
/// # Errors
/// Where it cannot be read or written.
pub(crate) fn ensure_cookie(file: &Path, host: &Host) -> Result<Secret, Failure> {
    let words = [(); 4].map(|()| format!("{:016x}", host.random.next_u64()));
    let made =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(file).and_then(
            |mut file| writeln!(file, "{}", words.concat()).and_then(|()| file.sync_all()),
        );
    match made {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(unusable(file.parent().unwrap_or(file), &error))
        }
        _ => read_cookie(file),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_cookie_is_made_once_and_for_its_owner_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("cookie");
        let made = ensure_cookie(&file, &Host::system()).unwrap();
        assert_eq!(made.reveal().len(), 64);
        assert_eq!(ensure_cookie(&file, &Host::system()).unwrap(), made);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&file, "short").unwrap();
        assert!(read_cookie(&file).unwrap_err().message.contains("5 bytes"));
    }
}
