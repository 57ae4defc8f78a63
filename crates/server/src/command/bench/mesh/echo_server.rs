//! The plain echo: frames of a length and as many bytes, sent back as they came.

use quarry_ports::Host;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{
    cli::{EchoArguments, Format},
    failure::Failure,
    output::Output,
    parent,
};

/// A system call may read so much.
pub(super) const BUFFER: usize = 128 << 10;
/// The longest frame.
const MAX_FRAME: usize = 1 << 20;

/// What the process says when it listens.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Listening {
    /// Where.
    pub(super) address: String,
}

/// Echoes until its parent ends it.
pub(crate) async fn run(arguments: &EchoArguments, output: Output) -> Result<(), Failure> {
    parent::die_with(arguments.parent)?;
    let host = Host::system();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    output.with_format(Format::Jsonl).record(&[], &Listening { address })?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        host.spawn("bench-echo", async move {
            // Who connected is gone: the same as an end.
            drop(echo(stream).await);
        });
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    let mut back = Vec::new();
    loop {
        let mut length = [0; 4];
        reader.read_exact(&mut length).await?;
        back.extend_from_slice(&length);
        let begin = back.len();
        back.resize(begin + parse(length)?, 0);
        reader.read_exact(back.get_mut(begin..).unwrap_or_default()).await?;
        // What arrived together goes back together.
        if !holds_frame(reader.buffer()) {
            writer.write_all(&back).await?;
            back.clear();
        }
    }
}

/// The length of a frame.
pub(super) fn parse(length: [u8; 4]) -> std::io::Result<usize> {
    let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        return Err(std::io::Error::from(std::io::ErrorKind::InvalidData));
    }
    Ok(length)
}

/// Whether a whole frame is at the beginning of `bytes`.
fn holds_frame(bytes: &[u8]) -> bool {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return false };
    parse(*length).is_ok_and(|length| rest.len() >= length)
}
