//! Stands between the S3 client and the server and plays tricks on requests, so that the client itself is tested: what it
//! hides, what it repeats.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What happens to a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trick {
    /// The server does it, then the connection breaks.
    DropAfter,
    /// The server does it, then answers 500.
    ServerErrorAfter,
    /// The server is not asked; the answer is 409 ConditionalRequestConflict.
    ConflictBefore,
    /// The server is not asked; the answer is 503 SlowDown.
    SlowDownBefore,
}

/// A proxy with tricks up its sleeve.
pub struct Proxy {
    address: SocketAddr,
    tricks: Arc<Mutex<Vec<Trick>>>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Stands before a server. The next conditional writes meet `tricks`, the last one first; everything else passes.
    pub fn before(server: SocketAddr, tricks: &[Trick]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (tricks, seen) = (Arc::new(Mutex::new(tricks.to_vec())), Arc::<Mutex<Vec<String>>>::default());
        let (sleeve, log) = (tricks.clone(), seen.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (sleeve, log) = (sleeve.clone(), log.clone());
                std::thread::spawn(move || serve(stream, server, &sleeve, &log));
            }
        });
        Self { address, tricks, seen }
    }

    /// `http://127.0.0.1:port`
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many conditional writes came.
    pub fn conditional_writes(&self) -> usize {
        self.seen.lock().unwrap().iter().filter(|head| is_conditional(head)).count()
    }

    /// Whether all tricks were played.
    pub fn all_played(&self) -> bool {
        self.tricks.lock().unwrap().is_empty()
    }
}

fn is_conditional(head: &str) -> bool {
    head.starts_with("PUT ") && head.to_lowercase().contains("\r\nif-none-match: *")
}

/// One request per connection. A client that hangs up is its own problem.
fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    tricks: &Mutex<Vec<Trick>>,
    seen: &Mutex<Vec<String>>,
) -> Option<()> {
    let (head, body) = read_request(&mut client)?;
    seen.lock().unwrap().push(head.clone());
    let trick = if is_conditional(&head) { tricks.lock().unwrap().pop() } else { None };
    let forward = || ask(server, &head, &body);
    let answer = match trick {
        None => forward()?,
        Some(Trick::DropAfter) => return forward().map(drop),
        Some(Trick::ServerErrorAfter) => {
            forward().map(|_| refusal("500 Internal Server Error", "InternalError"))?
        }
        Some(Trick::ConflictBefore) => refusal("409 Conflict", "ConditionalRequestConflict"),
        Some(Trick::SlowDownBefore) => refusal("503 Service Unavailable", "SlowDown"),
    };
    client.write_all(&answer).ok()
}

fn refusal(status: &str, code: &str) -> Vec<u8> {
    let body = format!("<Error><Code>{code}</Code><Message>A trick.</Message></Error>");
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn read_request(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        let mut piece = [0; 4096];
        let length = client.read(&mut piece).ok().filter(|length| *length > 0)?;
        bytes.extend_from_slice(&piece[..length]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).ok()?;
    let length =
        head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = bytes.split_off(end);
    let missing = length.unwrap_or(0_usize).saturating_sub(body.len());
    let mut rest = vec![0; missing];
    client.read_exact(&mut rest).ok()?;
    body.append(&mut rest);
    Some((head, body))
}

/// The server closes the connection behind its answer, so the answer's end needs no parsing.
fn ask(server: SocketAddr, head: &str, body: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(server).ok()?;
    let head = head.replacen("\r\n", "\r\nConnection: close\r\n", 1);
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok()?;
    Some(answer)
}
