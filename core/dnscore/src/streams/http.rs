//! DNS over HTTP/2 (RFC 8484) on a connection: octets in, DNS messages out; answers in, octets out.
//!
//! HTTP/2 itself (frames, HPACK, flow control, and the bounds on floods of resets, pings, settings and CONTINUATIONs) is
//! h2's, over a pipe in memory, driven when octets came or answers are there: it never waits, so its waker does nothing.
//! [`super::requests`] decides what a request is. Here is decided what only a connection knows:
//!
//! | request | outcome |
//! |---|---|
//! | not HTTP/2 | 505 in HTTP/1.1, and the end |
//! | a body of more than 65,535 octets | 413 |
//! | a body, or a GET's octets, that are no DNS question | 400 |
//! | of a client that is not served | 403 |
//! | else | 200; `max-age` is the least TTL of the answer section, or of the denial (RFC 8484, 5.1) |
//!
//! A header is bounded by [`HEADERS`], what is in flight by the limits of a connection.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::options::Wanted;
use super::requests::{Head, LONGEST, MESSAGE, freshness, is_question, judge};

/// Octets of a request's headers; a GET carries its question there.
const HEADERS: u32 = 16 << 10;
/// Octets that a client may send before it has an answer: more than the longest body, so that a longer one is seen.
const WINDOW: u32 = 1 << 17;
/// Resets of one connection's requests that wait to be seen, beyond which it is closed.
const RESETS: usize = 20;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const NOT_HTTP2: &[u8] = b"HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST");

/// What h2 reads and writes.
#[derive(Default)]
struct Pipe {
    input: Vec<u8>,
    read: usize,
    output: Vec<u8>,
}

/// The end of it that h2 has.
struct End(Rc<RefCell<Pipe>>);

impl AsyncRead for End {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut pipe = self.0.borrow_mut();
        let waiting = &pipe.input[pipe.read..];
        if waiting.is_empty() {
            return Poll::Pending;
        }
        let count = waiting.len().min(out.remaining());
        out.put_slice(&waiting[..count]);
        pipe.read += count;
        if pipe.read == pipe.input.len() {
            (pipe.input, pipe.read) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        self.0.borrow_mut().output.extend_from_slice(octets);
        Poll::Ready(Ok(octets.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

enum State {
    /// Not all of the preface has come.
    Begun,
    Shaking(Box<Handshake<End, Bytes>>),
    Open(Box<Connection<End, Bytes>>),
    Over,
}

/// A request whose body is coming. It is read also where it is of no use: there are clients that take an answer before
/// the end of their question for an error.
struct Posted {
    respond: SendResponse<Bytes>,
    stream: h2::RecvStream,
    /// OK: the body is a question, as far as can be seen.
    status: StatusCode,
    body: Vec<u8>,
    length: usize,
}

/// A question that is being answered.
struct Asked {
    respond: SendResponse<Bytes>,
    wanted: Wanted,
}

/// See the module.
pub struct Session {
    path: Rc<str>,
    pipe: Rc<RefCell<Pipe>>,
    state: State,
    posted: Vec<Posted>,
    /// By tag.
    asked: Vec<Option<Asked>>,
    free: Vec<u16>,
    ready: VecDeque<(u16, Vec<u8>)>,
}

impl Session {
    /// For questions at `path`, of which no more than `in_flight` are open at a time.
    pub fn new(path: Rc<str>, in_flight: usize) -> Session {
        let asked = in_flight.clamp(1, 1 << 10);
        Session {
            path,
            pipe: Rc::default(),
            state: State::Begun,
            posted: Vec::new(),
            asked: Vec::new(),
            free: (0..asked as u16).rev().collect(),
            ready: VecDeque::new(),
        }
    }

    /// Takes plain octets.
    pub fn receive(&mut self, octets: &[u8]) {
        if !octets.is_empty() {
            self.pipe.borrow_mut().input.extend_from_slice(octets);
            self.advance();
        }
    }

    /// The next question and its tag.
    pub fn next_question(&mut self) -> Option<(u16, Vec<u8>)> {
        self.ready.pop_front()
    }

    /// What the question of that tag asks of its connection.
    pub fn wanted(&self, tag: u16) -> Wanted {
        self.asked.get(usize::from(tag)).and_then(Option::as_ref).map_or_else(Wanted::default, |asked| asked.wanted)
    }

    /// The answer to the question of that tag.
    pub fn answer(&mut self, tag: u16, message: &[u8]) {
        let Some(Asked { mut respond, .. }) = self.take(tag) else { return };
        let mut response = Response::new(());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, MESSAGE);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(message.len()));
        if let Ok(fresh) = HeaderValue::try_from(format!("max-age={}", freshness(message).unwrap_or_default())) {
            headers.insert(CACHE_CONTROL, fresh);
        }
        // A client that has reset its request hears nothing.
        if let Ok(mut body) = respond.send_response(response, false) {
            let _ = body.send_data(Bytes::copy_from_slice(message), true);
        }
    }

    /// No answer is due to the question of that tag.
    pub fn refuse(&mut self, tag: u16) {
        if let Some(Asked { respond, .. }) = self.take(tag) {
            refuse(respond, StatusCode::FORBIDDEN);
        }
    }

    /// Takes no new requests.
    pub fn finish(&mut self) {
        if let State::Open(connection) = &mut self.state {
            connection.graceful_shutdown();
        }
    }

    /// Appends what is to be sent.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        self.advance();
        let mut pipe = self.pipe.borrow_mut();
        out.extend_from_slice(&pipe.output);
        pipe.output = Vec::new();
    }

    /// Nothing more will come of it.
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Over)
    }

    fn take(&mut self, tag: u16) -> Option<Asked> {
        let asked = self.asked.get_mut(usize::from(tag))?.take()?;
        self.free.push(tag);
        Some(asked)
    }

    /// Lets h2 do what there is to do.
    fn advance(&mut self) {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            match &mut self.state {
                State::Begun => {
                    let mut pipe = self.pipe.borrow_mut();
                    let known = pipe.input.len().min(PREFACE.len());
                    if pipe.input[..known] != PREFACE[..known] {
                        pipe.output.extend_from_slice(NOT_HTTP2);
                        drop(pipe);
                        self.state = State::Over;
                    } else if known < PREFACE.len() {
                        break;
                    } else {
                        drop(pipe);
                        self.state = State::Shaking(Box::new(self.shake_hands()));
                    }
                }
                State::Shaking(handshake) => match Pin::new(handshake).poll(&mut context) {
                    Poll::Ready(Ok(connection)) => self.state = State::Open(Box::new(connection)),
                    Poll::Ready(Err(_)) => self.state = State::Over,
                    Poll::Pending => break,
                },
                State::Open(connection) => match connection.poll_accept(&mut context) {
                    Poll::Ready(Some(Ok((request, respond)))) => self.accept(request, respond),
                    Poll::Ready(_) => self.state = State::Over,
                    Poll::Pending => break,
                },
                State::Over => break,
            }
        }
        self.read_bodies(&mut context);
    }

    fn shake_hands(&self) -> Handshake<End, Bytes> {
        Builder::new()
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .max_header_list_size(HEADERS)
            .max_concurrent_streams(self.free.len() as u32)
            .max_pending_accept_reset_streams(RESETS)
            .handshake(End(Rc::clone(&self.pipe)))
    }

    fn accept(&mut self, request: Request<h2::RecvStream>, respond: SendResponse<Bytes>) {
        let (head, stream) = request.into_parts();
        match judge(&head, &self.path) {
            Head::Answer(message) => self.ask(respond, message),
            Head::Body => self.expect(respond, stream, StatusCode::OK),
            Head::Refuse(status) if stream.is_end_stream() => refuse(respond, status),
            Head::Refuse(status) => self.expect(respond, stream, status),
        }
    }

    fn expect(&mut self, respond: SendResponse<Bytes>, stream: h2::RecvStream, status: StatusCode) {
        self.posted.push(Posted { respond, stream, status, body: Vec::new(), length: 0 });
    }

    /// Puts a question with those that are ready.
    fn ask(&mut self, respond: SendResponse<Bytes>, message: Vec<u8>) {
        if !is_question(&message) {
            return refuse(respond, StatusCode::BAD_REQUEST);
        }
        let Some(tag) = self.free.pop() else { return refuse(respond, StatusCode::SERVICE_UNAVAILABLE) };
        if self.asked.len() <= usize::from(tag) {
            self.asked.resize_with(usize::from(tag) + 1, || None);
        }
        // "edns-tcp-keepalive" is a connection's of DNS; HTTP has its own (RFC 8484, 10).
        let wanted = Wanted { keepalive: false, ..Wanted::by(&message, true) };
        self.asked[usize::from(tag)] = Some(Asked { respond, wanted });
        self.ready.push_back((tag, message));
    }

    fn read_bodies(&mut self, context: &mut Context<'_>) {
        let mut at = 0;
        while at < self.posted.len() {
            let done = self.posted[at].read(context);
            let Some(outcome) = done else {
                at += 1;
                continue;
            };
            let Posted { respond, body, .. } = self.posted.swap_remove(at);
            match outcome {
                StatusCode::OK => self.ask(respond, body),
                status => refuse(respond, status),
            }
        }
    }
}

impl Posted {
    /// The status once the body has come. `None`: more is to come.
    fn read(&mut self, context: &mut Context<'_>) -> Option<StatusCode> {
        loop {
            match self.stream.poll_data(context) {
                Poll::Ready(Some(Ok(octets))) => {
                    self.length += octets.len();
                    if self.status == StatusCode::OK && self.length <= LONGEST {
                        self.body.extend_from_slice(&octets);
                    } else if self.status == StatusCode::OK {
                        (self.status, self.body) = (StatusCode::PAYLOAD_TOO_LARGE, Vec::new());
                    }
                    // More cannot come.
                    if self.length >= WINDOW as usize {
                        return Some(self.released());
                    }
                }
                Poll::Ready(Some(Err(_))) => return Some(StatusCode::BAD_REQUEST),
                Poll::Ready(None) => return Some(self.released()),
                Poll::Pending => return None,
            }
        }
    }

    /// The status; the connection's window has the body's octets again, since nobody keeps them any more.
    fn released(&mut self) -> StatusCode {
        // Of a stream that is closed the window does not matter.
        let _ = self.stream.flow_control().release_capacity(self.length);
        self.status
    }
}

fn refuse(mut respond: SendResponse<Bytes>, status: StatusCode) {
    let mut response = Response::new(());
    *response.status_mut() = status;
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(ALLOW, METHODS);
    }
    // A client that has reset its request hears nothing.
    let _ = respond.send_response(response, true);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_http2_hears_so_in_its_own_words() {
        for text in [&b"GET /dns-query HTTP/1.1\r\n"[..], b"PRI * HTTP/1.0", b"\x00\x1d\x12\x34"] {
            let mut session = Session::new("/dns-query".into(), 64);
            let mut out = Vec::new();
            session.receive(text);
            session.flush(&mut out);
            assert_eq!(out, NOT_HTTP2);
            assert!(session.is_over() && session.next_question().is_none());
        }
    }
}
