//! A small file system.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Why there can be no such file system here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden(pub String);

/// A file system in memory, mounted in a namespace that it shares with the processes that are started
/// through [`Volume::command`]. It goes with this value and with them.
#[derive(Debug)]
pub struct Volume {
    holder: Child,
    path: PathBuf,
}

/// Mounts `$1` of `$2` bytes, says so, and waits for the end of its input.
const MOUNT: &str =
    "mount -t tmpfs -o size=$2,mode=0777 quarry-tests \"$1\" && echo mounted && cat";

impl Volume {
    /// Makes the directory `path` a file system of so many bytes. Where the machine does not permit
    /// that, it is the inner answer.
    pub fn mount(path: &Path, bytes: u64) -> Result<Result<Self, Forbidden>> {
        fs::create_dir_all(path)?;
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]);
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        let mut holder = command
            .args(["sh", "-c", MOUNT, "sh"])
            .arg(path)
            .arg(bytes.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("unshare (util-linux)")?;
        let mut said = String::new();
        let output = holder.stdout.take().context("no output")?;
        BufReader::new(output).read_line(&mut said)?;
        if said == "mounted\n" {
            return Ok(Ok(Self { holder, path: path.to_owned() }));
        }
        drop(holder.stdin.take());
        let refused = String::from_utf8_lossy(&holder.wait_with_output()?.stderr).into_owned();
        if ["not permitted", "denied"].iter().any(|sign| refused.contains(sign)) {
            return Ok(Err(Forbidden(refused.trim().to_owned())));
        }
        bail!("a small file system at {}: {refused}", path.display())
    }

    /// What stands before a command line that is to see it. The process is that of the command
    /// itself.
    pub fn command(&self) -> Vec<String> {
        let namespaces = format!("/proc/{}/ns", self.holder.id());
        let mut command = vec!["nsenter".to_owned(), format!("--mount={namespaces}/mnt")];
        if !rustix::process::geteuid().is_root() {
            command
                .extend(["--preserve-credentials".to_owned(), format!("--user={namespaces}/user")]);
        }
        command
    }

    /// Where processes that see it find it.
    pub fn inside(&self) -> &Path {
        &self.path
    }

    /// Where those find it that do not.
    pub fn outside(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.holder.id()));
        root.join(self.path.strip_prefix("/").unwrap_or(&self.path))
    }

    /// Takes all of its space that is left.
    pub fn fill(&self) -> Result<()> {
        let mut filler = File::options().create(true).append(true).open(self.filler())?;
        for size in [1 << 20, 1 << 12] {
            let bytes = vec![0; size];
            let error = loop {
                if let Err(error) = filler.write_all(&bytes) {
                    break error;
                }
            };
            if error.kind() != io::ErrorKind::StorageFull {
                return Err(error).context("fill a file system");
            }
        }
        Ok(())
    }

    /// Gives that space back.
    pub fn empty(&self) -> Result<()> {
        Ok(fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.outside().join("filler")
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        drop(self.holder.wait());
    }
}
