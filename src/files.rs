//! Files that appear completely or not at all.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Error, Result};

/// The folder that a file is in.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// An existing file is not replaced unless forced.
pub(crate) fn refuse_existing(path: &Path, force: bool) -> Result<()> {
    if !force && path.symlink_metadata().is_ok() {
        Err(Error::exists(path))
    } else {
        Ok(())
    }
}

/// Writes a file under another name in the same folder, makes sure that it is on disk, lets `check` look at it, and only
/// then gives it its name. Whatever fails, nothing half-written is left and an existing file stays as it was.
pub(crate) fn write_atomically(
    path: &Path,
    force: bool,
    write: impl FnOnce(&mut BufWriter<&File>) -> std::io::Result<()>,
    check: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    refuse_existing(path, force)?;
    let failed = |error: std::io::Error| Error::io(path, "write", &error);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".perpend-").suffix(".part");
    // Temporary files are private by default; a finished file has the permissions of any new file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let temporary = builder.tempfile_in(folder(path)).map_err(failed)?;
    let mut out = BufWriter::with_capacity(1 << 16, temporary.as_file());
    write(&mut out).and_then(|()| out.flush()).map_err(failed)?;
    drop(out);
    temporary.as_file().sync_all().map_err(failed)?;
    check(temporary.path())?;
    if force {
        temporary.persist(path).map_err(|error| failed(error.error))?;
    } else {
        temporary.persist_noclobber(path).map_err(|error| match error.error.kind() {
            std::io::ErrorKind::AlreadyExists => Error::exists(path),
            _ => failed(error.error),
        })?;
    }
    // The new name itself is data of the folder. Not every file system can sync a folder, and the file is complete anyway.
    #[cfg(unix)]
    let _ = File::open(folder(path)).and_then(|folder| folder.sync_all());
    Ok(())
}

/// [`write_atomically`] for a text.
pub(crate) fn write_text(path: &Path, force: bool, text: &str) -> Result<()> {
    write_bytes(path, force, text.as_bytes())
}

/// [`write_atomically`] for bytes.
pub(crate) fn write_bytes(path: &Path, force: bool, bytes: &[u8]) -> Result<()> {
    write_atomically(path, force, |out| out.write_all(bytes), |_| Ok(()))
}
