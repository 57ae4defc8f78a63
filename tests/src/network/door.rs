//! Lets a service that listens on the loopback of a host be reached at the host's address.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    os::fd::AsFd,
    path::Path,
    sync::mpsc,
    thread::{Builder, JoinHandle},
};

use anyhow::{Context, Result};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    runtime,
    sync::oneshot,
    task::JoinSet,
};

/// Passes connections on while it lives.
///
/// Its sockets are made by a thread of its own that lives in the host's namespace, and so belong to
/// that host.
#[derive(Debug)]
pub struct Door {
    /// Its end closes the door.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    /// Passes on what comes to `outside`, an address of the host whose namespace this is, to
    /// `inside`.
    pub fn open(namespace: &Path, outside: SocketAddr, inside: SocketAddr) -> Result<Self> {
        let file = File::open(namespace).with_context(|| namespace.display().to_string())?;
        let (stop, stopped) = oneshot::channel();
        let (say, hear) = mpsc::channel();
        let thread = Builder::new().name("door".to_owned()).spawn(move || {
            let prepared = enter(&file).and_then(|runtime| {
                let listener = runtime.block_on(TcpListener::bind(outside))?;
                Ok((runtime, listener))
            });
            match prepared {
                Ok((runtime, listener)) => {
                    // The other side waits for it.
                    let _ = say.send(Ok(()));
                    runtime.block_on(pass_on(listener, inside, stopped));
                }
                Err(error) => drop(say.send(Err(error))),
            }
        })?;
        let door = Self { stop: Some(stop), thread: Some(thread) };
        hear.recv().context("the door's thread ended")?.with_context(|| outside.to_string())?;
        Ok(door)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// Moves this thread into the namespace; a runtime that stays on it.
fn enter(namespace: &File) -> io::Result<runtime::Runtime> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    runtime::Builder::new_current_thread().enable_io().build()
}

async fn pass_on(listener: TcpListener, inside: SocketAddr, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => return,
            accepted = listener.accept() => {
                let Ok((mut client, _)) = accepted else { continue };
                connections.spawn(async move {
                    // A service that is not there closes the connection, as does its end.
                    let mut service = TcpStream::connect(inside).await?;
                    client.set_nodelay(true)?;
                    service.set_nodelay(true)?;
                    copy_bidirectional(&mut client, &mut service).await
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
