use async_trait::async_trait;
use bytes::Bytes;
use quarry_ports::{Peer, RequestHandler, Transport, TransportError};
use quarry_types::Monotonic;

use super::*;
use crate::view::Views;

const NODE: NodeId = NodeId(2);
/// What a probe sends; a stream is asked for with the number of a procedure.
const PROBE: u8 = u8::MAX;

/// A process that is killed while it is attended: its kernel ends the stream at once, and closes the
/// socket on which it listened a little later.
struct Killed {
    host: Host,
    at: Monotonic,
    closed: Monotonic,
}

#[async_trait]
impl Transport for Killed {
    async fn request(
        &self,
        to: NodeId,
        body: Bytes,
        _timeout: Duration,
    ) -> Result<Bytes, TransportError> {
        let is_probe = body.first() == Some(&PROBE);
        let end = if is_probe { self.closed } else { self.at };
        if self.host.now() < end {
            // "Done", with a frame that nobody looks at.
            return Ok(Bytes::from_static(&[0]));
        }
        let reason = "nobody listens".to_owned();
        Err(TransportError::NotSent { to, reason })
    }

    fn serve(&self, _handler: Arc<dyn RequestHandler>) {}

    fn set_peers(&self, _peers: Vec<Peer>) {}
}

/// How long after its end a process is noticed whose kernel closes its listening socket after `late`.
async fn noticed_after(late: Duration) -> Duration {
    let host = quarry_sim::host(1);
    // The stream says something each second.
    let killed = host.now().after(Duration::from_secs(2));
    let transport = Killed { host: host.clone(), at: killed, closed: killed.after(late) };
    let links = Links::over(Arc::new(transport), BTreeMap::new(), Arc::new(Views::new()));
    until_gone(&links, &host, NODE, "nowhere", AttendRequest { leader: NodeId(1) }).await;
    host.now().since(killed)
}

#[tokio::test(start_paused = true)]
async fn a_killed_process_is_noticed_at_once_whenever_its_sockets_are_closed() {
    for late in [0, 1, 10, 30].map(Duration::from_millis) {
        let noticed = noticed_after(late).await;
        assert!(
            noticed < Duration::from_millis(250),
            "{noticed:?}, its socket closed {late:?} late"
        );
    }
}
