//! Telling the service manager how things stand: systemd's notification protocol.
//!
//! A datagram of `KEY=value` lines goes to the socket that `NOTIFY_SOCKET` names, a path or an abstract name with a
//! leading `@`. The manager learns that the server serves, that it reloads and that it ends, and with
//! `WATCHDOG_USEC` also that it still lives. Without the variable nothing is sent. Nothing here can fail the server:
//! who does not listen is not told.

use std::{
    ffi::OsStr,
    io,
    os::unix::net::{SocketAddr, UnixDatagram},
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinHandle;

/// The line to the service manager, if there is one.
#[derive(Debug)]
pub(super) struct Supervisor {
    socket: Option<Arc<UnixDatagram>>,
    /// Tells that the runtime still runs; ends with this.
    heartbeat: Option<JoinHandle<()>>,
}

impl Supervisor {
    /// The one that the environment names.
    pub fn from_environment() -> Self {
        let Some(name) = std::env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else { return Self::none() };
        let socket = match connect(&name) {
            Ok(socket) => Arc::new(socket),
            Err(error) => {
                tracing::warn!(socket = %name.display(), err = %error, "The service manager cannot be told how things stand");
                return Self::none();
            }
        };
        let variable = |name| std::env::var(name).ok();
        let interval = heartbeat_interval(
            variable("WATCHDOG_USEC").as_deref(),
            variable("WATCHDOG_PID").as_deref(),
            std::process::id(),
        );
        let heartbeat = interval.map(|interval| tokio::spawn(beat(Arc::clone(&socket), interval)));
        Supervisor { socket: Some(socket), heartbeat }
    }

    fn none() -> Self {
        Supervisor { socket: None, heartbeat: None }
    }

    /// It serves, at first or again after a reload.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={status}"));
    }

    pub fn reloading(&self) {
        self.tell("RELOADING=1\nSTATUS=Reloading the configuration");
    }

    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Finishing what is being sent");
    }

    fn tell(&self, message: &str) {
        if let Some(socket) = &self.socket {
            send(socket, message);
        }
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some(heartbeat) = &self.heartbeat {
            heartbeat.abort();
        }
    }
}

/// A manager that does not read must not hold up the server: the socket never waits.
fn send(socket: &UnixDatagram, message: &str) {
    if let Err(error) = socket.send(message.as_bytes()) {
        tracing::debug!(err = %error, "The service manager did not take a message");
    }
}

async fn beat(socket: Arc<UnixDatagram>, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    loop {
        ticks.tick().await;
        send(&socket, "WATCHDOG=1");
    }
}

fn connect(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = address(name)?;
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_encoded_bytes().strip_prefix(b"@") {
        Some(name) => abstract_address(name),
        None => SocketAddr::from_pathname(name),
    }
}

#[cfg(target_os = "linux")]
fn abstract_address(name: &[u8]) -> io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_address(_: &[u8]) -> io::Result<SocketAddr> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "abstract socket names exist on Linux only"))
}

/// Half of the time that the manager waits, if it watches this very process.
fn heartbeat_interval(microseconds: Option<&str>, watched: Option<&str>, own: u32) -> Option<Duration> {
    if watched.is_some_and(|watched| watched.parse() != Ok(own)) {
        return None;
    }
    let microseconds: u64 = microseconds?.parse().ok()?;
    Some(Duration::from_micros(microseconds / 2)).filter(|interval| !interval.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_fed_at_half_its_time_and_only_by_the_process_it_watches() {
        assert_eq!(heartbeat_interval(Some("60000000"), None, 7), Some(Duration::from_secs(30)));
        assert_eq!(heartbeat_interval(Some("60000000"), Some("7"), 7), Some(Duration::from_secs(30)));
        assert_eq!(heartbeat_interval(Some("60000000"), Some("8"), 7), None);
        assert_eq!(heartbeat_interval(Some("0"), None, 7), None);
        assert_eq!(heartbeat_interval(Some("often"), None, 7), None);
        assert_eq!(heartbeat_interval(None, None, 7), None);
    }

    #[test]
    fn a_message_arrives_at_a_path_and_at_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let socket = connect(path.as_os_str()).unwrap();
        Supervisor { socket: Some(Arc::new(socket)), heartbeat: None }.ready("Serving");
        let mut buffer = [0; 100];
        let length = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1\nSTATUS=Serving");

        let name = format!("carillon-test-{}", std::process::id());
        let manager = UnixDatagram::bind_addr(&abstract_address(name.as_bytes()).unwrap()).unwrap();
        let socket = connect(OsStr::new(&format!("@{name}"))).unwrap();
        Supervisor { socket: Some(Arc::new(socket)), heartbeat: None }.stopping();
        let length = manager.recv(&mut buffer).unwrap();
        assert!(buffer[..length].starts_with(b"STOPPING=1\n"));
    }

    #[test]
    fn nobody_there_is_no_failure() {
        assert!(connect(OsStr::new("/nonexistent/notify")).is_err());
        Supervisor::none().ready("Serving");
    }
}
