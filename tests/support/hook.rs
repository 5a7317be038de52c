//! A webhook receiver that records what it is told.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// One request, with the moment at which it was answered.
#[derive(Clone, Debug)]
pub struct Told {
    pub path: String,
    pub json: Value,
    /// When it had been read whole.
    pub arrived: Instant,
    pub answered: Instant,
}

impl Told {
    /// Label values of the alerts, sorted.
    pub fn alerts(&self, label: &str) -> Vec<String> {
        let mut names: Vec<String> = self.json["alerts"]
            .as_array()
            .map(|alerts| alerts.iter().map(|a| a["labels"][label].as_str().unwrap_or_default().to_owned()).collect())
            .unwrap_or_default();
        names.sort();
        names
    }

    pub fn status(&self) -> &str {
        self.json["status"].as_str().unwrap_or_default()
    }
}

pub struct Hook {
    pub address: String,
    told: Arc<Mutex<Vec<Told>>>,
    manner: Arc<Manner>,
}

/// How requests are answered.
struct Manner {
    status: AtomicU16,
    delay_ms: AtomicU64,
}

impl Hook {
    pub fn start() -> Hook {
        Self::start_at("127.0.0.1:0")
    }

    pub fn start_at(address: &str) -> Hook {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        let manner = Arc::new(Manner { status: AtomicU16::new(200), delay_ms: AtomicU64::new(0) });
        let (record, manners) = (Arc::clone(&told), Arc::clone(&manner));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (record, manner) = (Arc::clone(&record), Arc::clone(&manners));
                thread::spawn(move || serve(&stream, &record, &manner));
            }
        });
        Hook { address, told, manner }
    }

    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Answers with this status from now on; only what was answered with 200 is recorded as told.
    pub fn answer(&self, status: u16) {
        self.manner.status.store(status, Ordering::SeqCst);
    }

    /// Takes so long for each answer from now on. A request counts as told when it has been read, like a mail that
    /// is in the queue already.
    pub fn delay(&self, delay: Duration) {
        self.manner.delay_ms.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap().clone()
    }

    /// Waits until `accept` finds what it looks for among all that was told.
    pub fn wait<T>(&self, text: &str, mut accept: impl FnMut(&[Told]) -> Option<T>) -> T {
        super::wait_for(text, Duration::from_secs(40), || accept(&self.told.lock().unwrap()))
    }
}

fn serve(stream: &TcpStream, record: &Mutex<Vec<Told>>, manner: &Manner) -> Option<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let (path, body) = read_request(&mut reader).ok()??;
        let status = manner.status.load(Ordering::SeqCst);
        let delay = Duration::from_millis(manner.delay_ms.load(Ordering::SeqCst));
        if status == 200 {
            // Recorded before the answer leaves: what the sender takes as told is here.
            let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let arrived = Instant::now();
            record.lock().unwrap().push(Told { path, json, arrived, answered: arrived + delay });
        }
        super::pass(delay);
        let mut writer = stream;
        write!(writer, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n").ok()?;
    }
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut size = 0;
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            size = value.trim().parse().map_err(|_| io::ErrorKind::InvalidData)?;
        }
    }
    let mut body = vec![0; size];
    reader.read_exact(&mut body)?;
    Ok(Some((path, body)))
}
