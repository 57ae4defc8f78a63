//! Texts from files.

use std::{io::Read, path::Path};

use quarry_extract::decode;

use crate::failure::{Exit, Failure};

/// The text of a file, or of stdin for `-`, as it is.
///
/// # Errors
/// Where it cannot be read, or is no text; the message does not name the file.
pub(crate) fn read_text(file: &Path) -> Result<String, Failure> {
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(file).map_err(|error| {
            let is_missing = error.kind() == std::io::ErrorKind::NotFound;
            let exit = if is_missing { Exit::NotFound } else { Exit::Failed };
            Failure::new(exit, error.to_string())
        })?;
    }
    match decode(&bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(error) => Err(Failure::new(Exit::Usage, error.to_string())),
    }
}
