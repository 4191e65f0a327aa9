//! A file that is there whole or not at all: written beside its place, synced, renamed, the folder synced.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::types::ListError;

/// A file in the making. Dropped before [`Output::commit`], it leaves nothing behind.
pub(crate) struct Output {
    file: File,
    beside: PathBuf,
    place: PathBuf,
    done: bool,
}

impl Output {
    /// Start a file that is to stand at `place`.
    pub fn create(place: &Path) -> Result<Self, ListError> {
        let mut name = place.file_name().unwrap_or_default().to_os_string();
        name.push(".new");
        let beside = place.with_file_name(name);
        // a file of its own: what a crash left there is removed, and a link would lead elsewhere
        let _ = fs::remove_file(&beside);
        let file = OpenOptions::new().write(true).create_new(true).open(&beside);
        let file = file.map_err(|error| unwritable(&beside, &error))?;
        Ok(Self { file, beside, place: place.into(), done: false })
    }

    /// Make it durable and put it in its place.
    pub fn commit(mut self) -> Result<(), ListError> {
        let folder = self.place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.file
            .sync_all()
            .and_then(|()| fs::rename(&self.beside, &self.place))
            .and_then(|()| File::open(folder)?.sync_all())
            .map_err(|error| unwritable(&self.place, &error))?;
        self.done = true;
        Ok(())
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if !self.done {
            // what is left after a crash is removed by the next attempt, and never read
            let _ = fs::remove_file(&self.beside);
        }
    }
}

/// The file system's refusal, translated.
pub(crate) fn unwritable(path: &Path, error: &io::Error) -> ListError {
    ListError::of_file("unwritable", path, error)
}
