//! A PostgreSQL server of one test: started, stopped, restarted as the test likes.

use std::{
    fs::{self, File},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::{Connection as _, PgConnection};
use tempfile::TempDir;
use tokio::process::{Child, Command as Spawned};

use crate::{process::PortBlock, wait::until};

/// Who runs a server where this process is root, which a server refuses to be.
const USER: &str = "postgres";
/// How long a server may take to answer, and to be gone.
const WITHIN: Duration = Duration::from_secs(30);

/// A server over loopback TCP. It ends with this value.
#[derive(Debug)]
pub struct Server {
    programs: PathBuf,
    directory: TempDir,
    address: String,
    _ports: PortBlock,
    /// What stands before its command line.
    command: Vec<String>,
    process: Option<Child>,
}

impl Server {
    /// Makes one and starts it. `command` stands before its command line: the way to a volume.
    pub async fn start(command: Vec<String>) -> Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/postgres-bin.sh");
        let programs = said(Command::new(script).output()?)?;
        let directory = tempfile::Builder::new().prefix("quarry-server.").tempdir_in("/tmp")?;
        own(directory.path())?;
        let ports = PortBlock::claim()?;
        let mut server = Self {
            programs: programs.trim().into(),
            directory,
            address: ports.address(0)?,
            _ports: ports,
            command,
            process: None,
        };
        let data = server.data();
        let mut making = server.program("initdb");
        making.arg("--pgdata").arg(data);
        making.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        said(making.output()?)?;
        server.resume().await?;
        Ok(server)
    }

    /// Its URL, as a role that may do everything.
    pub fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address)
    }

    /// `host:port` where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Starts it again and waits until it answers.
    pub async fn resume(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "the server runs");
        let (_, port) = self.address.rsplit_once(':').context("an address without a port")?;
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Spawned::from(self.program("postgres"));
        command
            .arg("-D")
            .arg(self.data())
            .args(["-c", &format!("port={port}"), "-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories=", "-c", "max_connections=200"])
            .args(["-c", "fsync=on", "-c", "synchronous_commit=on", "-c", "shared_buffers=64MB"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true);
        self.process = Some(command.spawn()?);
        let url = self.url();
        let answers = until("the server answers", WITHIN, async || {
            PgConnection::connect(&url).await.ok().map(drop)
        });
        let answered = answers.await;
        answered.with_context(|| fs::read_to_string(self.log()).unwrap_or_default())
    }

    /// Stops it as `pg_ctl -m fast` does: sessions are ended, what they did not commit is undone.
    pub async fn stop(&mut self) -> Result<()> {
        self.end_with(Signal::INT).await
    }

    /// Ends it as a crash does: it recovers when it is started again.
    pub async fn crash(&mut self) -> Result<()> {
        self.end_with(Signal::QUIT).await
    }

    async fn end_with(&mut self, signal: Signal) -> Result<()> {
        let mut process = self.process.take().context("the server is down")?;
        let id = process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(id.context("the server has ended")?, signal)?;
        let ended = tokio::time::timeout(WITHIN, process.wait()).await;
        ended.context("the server does not end")??;
        Ok(())
    }

    /// One of its programs, as its user.
    fn program(&self, name: &str) -> Command {
        let mut words: Vec<String> = self.command.clone();
        if rustix::process::geteuid().is_root() {
            let user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"];
            words.extend(user.map(str::to_owned));
        }
        words.extend(["setpriv", "--pdeathsig", "INT"].map(str::to_owned));
        words.push(self.programs.join(name).display().to_string());
        let mut words = words.into_iter();
        let mut command = Command::new(words.next().unwrap_or_default());
        // A place that the server's user may read.
        command.args(words).current_dir("/");
        command
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }
}

/// Lets the user of servers have `directory`.
pub fn own(directory: &Path) -> Result<()> {
    if rustix::process::geteuid().is_root() {
        let id = |flag: &str| -> Result<u32> {
            Ok(said(Command::new("id").args([flag, USER]).output()?)?.trim().parse()?)
        };
        chown(directory, Some(id("-u")?), Some(id("-g")?))?;
    }
    Ok(fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?)
}

fn said(output: Output) -> Result<String> {
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
