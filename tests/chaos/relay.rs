//! A bad network between nodes on loopback: each node advertises a relay instead of itself, and the relay loses
//! datagrams and takes its time.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use crate::support::pass;

/// How bad it is; can be changed at any time.
#[derive(Default)]
pub struct Weather {
    /// Datagrams of a hundred that are lost on each way.
    pub loss_percent: AtomicU32,
    /// One way, for datagrams and streams.
    pub delay_ms: AtomicU32,
    dice: AtomicU64,
}

impl Weather {
    pub fn set(&self, loss_percent: u32, delay_ms: u32) {
        self.loss_percent.store(loss_percent, Ordering::SeqCst);
        self.delay_ms.store(delay_ms, Ordering::SeqCst);
    }

    fn loses(&self) -> bool {
        let old = self.dice.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::SeqCst);
        let mixed = (old ^ (old >> 31)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        (mixed >> 33) % 100 < u64::from(self.loss_percent.load(Ordering::SeqCst))
    }

    fn delay(&self) -> Duration {
        Duration::from_millis(u64::from(self.delay_ms.load(Ordering::SeqCst)))
    }
}

/// Whatever comes to the returned port goes to `node`, as far as the weather allows; answers come back the same way.
pub fn relay(node: SocketAddr, weather: &Arc<Weather>) -> u16 {
    let (tcp, udp) = pair();
    let port = tcp.local_addr().unwrap().port();
    let sky = Arc::clone(weather);
    thread::spawn(move || datagrams(&udp, node, &sky));
    let sky = Arc::clone(weather);
    thread::spawn(move || {
        for stream in tcp.incoming().map_while(Result::ok) {
            if let Ok(onward) = TcpStream::connect(node) {
                carry(&stream, &onward, &sky);
            }
        }
    });
    port
}

/// Sockets of both protocols on one port.
fn pair() -> (TcpListener, UdpSocket) {
    loop {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        if let Ok(udp) = UdpSocket::bind(tcp.local_addr().unwrap()) {
            return (tcp, udp);
        }
    }
}

/// For each sender a socket of its own, so that answers find back.
fn datagrams(socket: &UdpSocket, node: SocketAddr, weather: &Arc<Weather>) {
    let mut onward: HashMap<SocketAddr, UdpSocket> = HashMap::new();
    let mut buffer = [0; 65_536];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let way = onward.entry(from).or_insert_with(|| {
            let way = UdpSocket::bind("127.0.0.1:0").unwrap();
            let (answers, back, sky) = (way.try_clone().unwrap(), socket.try_clone().unwrap(), Arc::clone(weather));
            thread::spawn(move || {
                let mut buffer = [0; 65_536];
                while let Ok(length) = answers.recv(&mut buffer) {
                    pass_on(&back, &buffer[..length], from, &sky);
                }
            });
            way
        });
        pass_on(way, &buffer[..length], node, weather);
    }
}

fn pass_on(socket: &UdpSocket, packet: &[u8], to: SocketAddr, weather: &Weather) {
    if weather.loses() {
        return;
    }
    let (socket, packet, delay) = (socket.try_clone().unwrap(), packet.to_vec(), weather.delay());
    thread::spawn(move || {
        pass(delay);
        // A node that is down loses it.
        let _ = socket.send_to(&packet, to);
    });
}

fn carry(one: &TcpStream, other: &TcpStream, weather: &Arc<Weather>) {
    for (from, to) in [(one, other), (other, one)] {
        let (mut from, mut to, sky) = (from.try_clone().unwrap(), to.try_clone().unwrap(), Arc::clone(weather));
        thread::spawn(move || {
            let mut buffer = [0; 65_536];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                pass(sky.delay());
                if to.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Write);
        });
    }
}
