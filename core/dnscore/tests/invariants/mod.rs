//! What holds for whatever bytes come in: run by the fuzzers over all they invent, and as ordinary tests over their
//! corpora and over generated messages.
#![allow(dead_code, clippy::unwrap_used)]

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use dnscore::answer::{self, StopPage};
use dnscore::cache::{Cache, Given};
use dnscore::list::{Action, Aliases, CompiledList, Hits, with_right_checksum};
use dnscore::streams::frames::Frames;
use dnscore::streams::options::{self, Wanted};
use dnscore::streams::quic::message::Coming;
use dnscore::streams::quic::server::{HALF_OPEN, Out, Server};
use dnscore::streams::{Came, Identity, Kind, Limits, SECRET, Secrets, http};
use dnscore::verdict::Stop;
use dnscore::wire::{Echo, Expected, Name, Parsed, Query, Rejected, check_answer, parse, parse_into};

const NOW: u32 = 1_800_000_000;

/// What a client of DNS over HTTPS sends under the seal: the first octet says into which pieces it is cut.
pub fn https(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let mut session = http::Session::new("/dns-query".into(), 64);
    let (mut out, mut open) = (Vec::new(), Vec::new());
    for piece in data.chunks(usize::from(*cut).max(1)) {
        session.receive(piece);
        while let Some((tag, message)) = session.next_question() {
            assert!((12..=65_535).contains(&message.len()) && message[2] & 0x80 == 0);
            assert!(!open.contains(&tag), "one answer for each tag");
            open.push(tag);
            assert!(open.len() <= 64);
        }
        // Half of them are answered, from the last to the first.
        for tag in open.drain(open.len() / 2..) {
            if tag % 2 == 0 { session.answer(tag, &[0; 100]) } else { session.refuse(tag) }
        }
        session.flush(&mut out);
    }
    session.finish();
    session.flush(&mut out);
}

/// The octets of a stream over TCP: the first says into which pieces they are cut, the second how many messages are taken
/// between two of them. The messages, each after its length, are what came, octet by octet, but for an end that is not whole.
pub fn tcp(data: &[u8]) {
    let Some(([cut, at_once], data)) = data.split_first_chunk::<2>() else { return };
    let (mut frames, mut read, mut came) = (Frames::default(), Vec::new(), 0);
    for piece in data.chunks(usize::from(*cut).max(1)) {
        frames.push(piece);
        came += piece.len();
        for _ in 0..*at_once {
            let Some(message) = frames.take() else { break };
            read.extend_from_slice(&u16::try_from(message.len()).unwrap().to_be_bytes());
            read.extend_from_slice(message);
        }
        assert_eq!([&read, frames.waiting()].concat(), data[..came]);
    }
    while let Some(message) = frames.take() {
        read.extend_from_slice(&u16::try_from(message.len()).unwrap().to_be_bytes());
        read.extend_from_slice(message);
    }
    let rest = frames.waiting();
    assert_eq!([&read, rest].concat(), data);
    assert!(
        rest.len() < 2 || rest.len() - 2 < usize::from(u16::from_be_bytes([rest[0], rest[1]])),
        "a whole message waits"
    );
    frames.skip(usize::MAX);
    assert!(frames.waiting().is_empty() && frames.take().is_none());
}

/// What comes to the port of DNS over TLS, or over HTTPS: the first octet says to which, and into which pieces it is cut.
/// Nobody without keys brings a message; what is not TLS is so for good, and gets one alert at most.
pub fn tls(data: &[u8]) {
    let Some((how, data)) = data.split_first() else { return };
    let kind = if how % 2 == 0 { Kind::Tls } else { Kind::Https };
    let mut session = IDENTITY.session(kind).unwrap();
    let (mut plain, mut said) = (Vec::new(), Vec::new());
    for piece in data.chunks(usize::from(how / 2).max(1)) {
        let came = session.receive(piece, &mut plain);
        assert!(plain.is_empty());
        while session.has_unwritten() {
            session.write(&mut said).unwrap();
        }
        assert!(said.len() <= 4096);
        if came != Came::Open {
            return;
        }
    }
}

/// The server's certificate.
static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    const FILE: &[u8] = include_bytes!("../identity.pem");
    Identity::new(FILE, FILE, &Secrets::random()).unwrap()
});

/// The octets of one stream over QUIC: the first says into which pieces they are cut.
pub fn quic_stream(data: &[u8]) {
    let Some((cut, data)) = data.split_first() else { return };
    let mut coming = Coming::default();
    let whole = data.len() >= 2 && data.len() - 2 == usize::from(u16::from_be_bytes([data[0], data[1]]));
    for piece in data.chunks(usize::from(*cut).max(1)) {
        if coming.push(piece).is_err() {
            return assert!(!whole);
        }
        assert!(coming.len() <= data.len());
    }
    if let Ok((message, wanted)) = coming.finish() {
        assert!(whole && message == data[2..] && message.len() >= 12);
        assert!(message[..2] == [0, 0] && message[2] & 0x80 == 0 && !wanted.keepalive);
    }
}

/// How much was sent.
#[derive(Default)]
struct Sent(usize);

impl Out for Sent {
    fn send(&mut self, _: SocketAddr, _: Option<IpAddr>, octets: &[u8]) {
        assert!(octets.len() <= 1200, "on its way a longer one is cut, or lost");
        self.0 += octets.len();
    }
}

/// Datagrams at the socket of DNS over QUIC, each after its length: nobody without keys comes past the handshake. Three
/// times what came is sent at most.
pub fn quic(data: &[u8]) {
    sent_over_quic(data);
}

/// As [`quic`]: how many octets were sent.
pub fn sent_over_quic(data: &[u8]) -> usize {
    let limits = Limits::default();
    let here = SocketAddr::from(([127, 0, 0, 1], 853));
    let mut server = Server::new(&[7; SECRET], 1, here, limits, 0);
    server.set_config(IDENTITY.quic(&limits).unwrap());
    let (mut rest, mut received, mut out, mut now) = (data, 0, Sent::default(), 0);
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let (datagram, more) = more.split_at(more.len().min(usize::from(u16::from_be_bytes(*length)) % 1500));
        rest = more;
        received += datagram.len();
        server.receive(datagram, SocketAddr::from(([127, 0, 0, 1], 4000)), None, now, &mut out);
        server.flush(now, &mut out);
        assert_eq!(server.questions().count(), 0);
        assert!(server.connected() <= HALF_OPEN);
        assert!(out.0 <= 3 * received, "{} octets for {received}", out.0);
        now += 100_000;
        server.time(now);
        server.sweep(now);
        server.flush(now, &mut out);
        assert!(out.0 <= 3 * received, "{} octets for {received}", out.0);
    }
    server.drain(now);
    server.flush(now, &mut out);
    assert_eq!(server.connected(), 0, "nobody is waited for");
    out.0
}

/// A query on a stream, and the same octets as an answer that gets what was wanted.
pub fn stream_options(data: &[u8]) {
    let wanted = Wanted::by(data, true);
    assert!(!Wanted::by(data, false).padding);
    assert_eq!(Wanted::of_tag(wanted.tag()), wanted);
    let answer = &data[..data.len().min(65_535)];
    let mut out = [b"before", answer].concat();
    options::add(&mut out, 6, Wanted { keepalive: true, padding: true }, u64::MAX);
    assert!(out.len() <= 6 + 65_535 && out.len() >= 6 + answer.len());
    assert_eq!(&out[..6], b"before");
    let changed = out[6..].iter().zip(answer).filter(|(now, before)| now != before).count();
    assert!(changed <= 2, "nothing but the length of the OPT's data");
}

/// A datagram from anyone.
pub fn packet(data: &[u8]) {
    let mut query = Query::BLANK;
    match (parse(data), parse_into(data, &mut query)) {
        (Parsed::Drop(by_value), Err(Rejected::Drop(in_place))) => {
            assert_eq!(by_value, in_place);
            assert!(data.len() < 12 || data[2] & 0x80 != 0);
        }
        (Parsed::Refuse(refusal), Err(Rejected::Refuse(in_place))) => {
            assert_eq!(refusal, in_place);
            let mut out = [0xee; 1232];
            let length = answer::error(data, refusal.echo, refusal.rcode, None, &mut out);
            let message = well_formed(&out[..length], data, refusal.echo, refusal.echo.udp_limit());
            assert_eq!(message.rcode, refusal.rcode);
        }
        (Parsed::Query(by_value), Ok(())) => {
            assert_eq!(by_value, query);
            question(data, &query);
        }
        (by_value, in_place) => panic!("{by_value:?} but {in_place:?}"),
    }
}

/// A question that can be decided: every answer that it could get.
fn question(data: &[u8], query: &Query) {
    let end = usize::from(query.question_end);
    assert_eq!(data[12..end - 4].to_ascii_lowercase(), query.qname.wire());
    assert_eq!(data[end - 2..end], [0, 1]);
    let mut labels = 0;
    while query.qname.ancestor(labels) < query.qname.len() - 1 {
        labels += 1;
    }
    assert_eq!(labels, query.qname.labels());

    let mut out = [0xee; 1232];
    let page = StopPage { ipv4: Some([192, 0, 2, 66]), ipv6: None, portal: b"https://stop.isp.example".to_vec() };
    for action in [Action::StopPage, Action::Nxdomain, Action::Nodata, Action::Refused] {
        for (distance, ede) in [(0, 0), (labels, 16), (labels / 2, 17)] {
            let stop =
                Stop { row: 0, rule: 0, distance, list: 0, action, aliases: Aliases::Trim, ede, expires: NOW + 9 };
            for limit in [512, query.udp_limit(), 65535] {
                let length =
                    answer::blocked(data, query, &stop, b"7ZK3M9Q2XW4T8RBC", None, &page, NOW, limit, &mut out);
                let message = well_formed(&out[..length], data, query.echo(), limit);
                assert_eq!(message.flags & 0x0220, 0, "neither TC nor AD");
                assert!(message.ttls.iter().all(|(_, ttl)| *ttl == 9));
            }
        }
    }
    let length = answer::hinfo(data, query, &mut out);
    well_formed(&out[..length], data, query.echo(), 512);
    let length = answer::truncated(data, query, &mut out);
    well_formed(&out[..length], data, query.echo(), 512);
    let length = answer::error(data, query.echo(), 2, Some((22, "no upstream answered")), &mut out);
    well_formed(&out[..length], data, query.echo(), 512);

    for case in [None, Some(0x5555_5555_5555_5555), Some(u64::MAX)] {
        let length = answer::upstream_query(query, 7, case, &mut out);
        let Parsed::Query(sent) = parse(&out[..length]) else { panic!("we would refuse our own query") };
        assert_eq!((sent.id, sent.qname, sent.qtype), (7, query.qname, query.qtype));
        assert_eq!((sent.rd(), sent.cd(), sent.dnssec_ok()), (query.rd(), query.cd(), query.dnssec_ok()));
        assert_eq!((sent.question_end, sent.edns.unwrap().size), (query.question_end, 1232));
    }
}

thread_local! {
    static CACHE: RefCell<Cache> = RefCell::new(Cache::new(1 << 20, [1, 2], dnscore::cache::STALE_FOR).unwrap());
}

/// A message from the upstream's address. The first octet says how the client asked; to get past the first checks the
/// rest is taken as the answer to whatever it seems to answer.
pub fn answer(data: &[u8]) {
    let Some((&asked, message)) = data.split_first() else { return };
    let mut message = message.to_vec();
    if message.len() < 12 {
        let expected = Expected { id: 0, question: &[0, 0, 1, 0, 1] };
        assert!(check_answer(&message, &expected).is_err());
        return;
    }
    let id = u16::from_be_bytes([message[0], message[1]]);
    message[2] = message[2] & 0x07 | 0x80;
    message[4..6].copy_from_slice(&[0, 1]);
    let Some(end) = question_end(&message) else { return };
    let question = message[12..end].to_vec();

    // The client's query to that question.
    let mut packet = vec![0x12, 0x34, asked & 1, asked & 0x10 | asked & 0x20, 0, 1, 0, 0, 0, 0, 0, asked >> 1 & 1];
    packet.extend_from_slice(&question);
    if asked & 2 != 0 {
        let size = u16::from(asked) << 4;
        packet.extend_from_slice(&[0, 0, 41, (size >> 8) as u8, size as u8, 0, 0, asked & 0x80, 0, 0, 0]);
    }
    let Parsed::Query(query) = parse(&packet) else { return };
    for other in [id ^ 1, id ^ 0x8000] {
        assert!(check_answer(&message, &Expected { id: other, question: &question }).is_err());
    }
    let Ok(checked) = check_answer(&message, &Expected { id, question: &question }) else { return };
    let limit = query.udp_limit();
    let mut fresh = [0xee; 65535];
    let length = answer::client_answer(&packet, &query, &message, &checked, limit, &mut fresh);
    let first = well_formed(&fresh[..length], &packet, query.echo(), limit);
    assert!(first.flags & 0x0020 == 0 || asked & 0x20 != 0 || query.dnssec_ok(), "AD unasked for");
    let mut wide = [0xee; 65535];
    let wide_length = answer::client_answer(&packet, &query, &message, &checked, 65535, &mut wide);
    let whole = well_formed(&wide[..wide_length], &packet, query.echo(), 65535);
    shortened(&first, &fresh, &whole, &wide, limit);
    if checked.records() > 0 {
        passed_on(&message, &wide);
    }
    // An error may come without the question.
    let mut bare = [&message[..12], &[0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]].concat();
    bare[4..12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
    let taken = check_answer(&bare, &Expected { id, question: &question });
    assert_eq!(taken.is_ok(), [1, 2, 4, 5].contains(&(bare[3] & 15)));
    if let Ok(checked) = taken {
        let length = answer::client_answer(&packet, &query, &bare, &checked, limit, &mut fresh);
        assert_eq!(well_formed(&fresh[..length], &packet, query.echo(), limit).rcode, u16::from(bare[3] & 15));
    }
    for stopped in [0, 1] {
        trimmed(&packet, &query, wide, wide_length, stopped);
    }
    CACHE.with_borrow_mut(|cache| cached(cache, &packet, &query, &message, &checked, &first, length == wide_length));
}

/// What is short is the beginning of what is whole; or it is TC, because what it cannot do without does not fit.
fn shortened(first: &Message, short: &[u8], whole: &Message, long: &[u8], limit: usize) {
    let opt = usize::from(first.counts[3] > 0) * 11;
    if first.flags & 0x0200 != 0 && first.ttls.is_empty() {
        let needed = whole.flags & 0x0200 != 0 || whole.counts[2] > 0 || whole.answers_end + opt > limit;
        assert!(needed, "TC without need");
        return;
    }
    assert_eq!(first.counts[1], whole.counts[1], "the answer section is whole");
    assert!(first.counts[2] == whole.counts[2] || first.counts[3] <= 1);
    assert_eq!(first.ttls, whole.ttls[..first.ttls.len()]);
    assert_eq!(short[12..first.records_end], long[12..first.records_end]);
}

/// Every record of the upstream's but OPT and the message's signature, in its order, with its owner.
fn passed_on(message: &[u8], told: &[u8]) {
    let read = |message: &[u8]| {
        let word = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
        let mut at = question_end(message).unwrap();
        let mut found = Vec::new();
        for section in 0..3 {
            for _ in 0..word(6 + 2 * section) {
                let (owner, fixed) = owner(message, at);
                let (rtype, end) = (word(fixed), fixed + 10 + usize::from(word(fixed + 8)));
                let signs = rtype == 250 || rtype == 24 && end >= fixed + 12 && word(fixed + 10) == 0;
                if rtype != 41 && !(signs && section == 2) {
                    found.push((section, owner, message[fixed..fixed + 10].to_vec()));
                }
                at = end;
            }
        }
        found
    };
    assert_eq!(read(message), read(told));
}

/// An answer of which every name with that parity of its length is stopped: it stays one, and none of theirs is in it.
fn trimmed(packet: &[u8], query: &Query, mut answer: [u8; 65535], length: usize, parity: usize) {
    let is_stopped = |name: &Name| name.len() % 2 == parity;
    let mut owners = Vec::new();
    answer::owners(&answer[..length], query, &mut owners);
    assert!(owners.len() <= answer::MAX_OWNERS && !owners.contains(&query.qname));
    let reason =
        answer::Reason { ede: 16, reference: b"", portal: b"https://stop.example", explained: None, expires_in: 30 };
    let length = answer::trim(query, is_stopped, &reason, length, 65535, &mut answer);
    let shown = well_formed(&answer[..length], packet, query.echo(), 65535);
    assert!(shown.ttls.iter().all(|(_, ttl)| *ttl <= 30));
    assert_eq!(shown.flags & 0x0420, 0, "AA or AD");
    answer::owners(&answer[..length], query, &mut owners);
    // A DNAME of any owner stays if it leads on from a name that stays.
    let has_dname = answer[..length].windows(2).any(|pair| pair == [0, 39]);
    assert!(has_dname || !owners.iter().any(is_stopped));
}

/// Into the cache and out again: the same but for the TTLs, until its time is over; of one that was shortened
/// (`!was_whole`) no less.
fn cached(
    cache: &mut Cache,
    packet: &[u8],
    query: &Query,
    message: &[u8],
    checked: &dnscore::wire::Checked,
    first: &Message,
    was_whole: bool,
) {
    let Some(key) = cache.key(query, 0) else { return };
    let limit = query.udp_limit();
    let mut out = [0xee; 1232];
    cache.touch(&[key]);
    if !cache.put(&key, query, message, checked, 50_000) {
        return;
    }
    if checked.truncated() {
        let length =
            cache.get(&key, query, packet, 50_000, limit, &mut out).expect("that it is truncated is kept").length;
        let told = well_formed(&out[..length], packet, query.echo(), limit);
        assert_eq!((told.flags & 0x0220, &told.counts[1..3]), (0x0200, &[0, 0][..]));
        assert!(cache.get(&key, query, packet, 50_000, 65535, &mut out).is_none());
        return;
    }
    for age in [0, 1, 5, 1000, 100_000, 200_000] {
        let now_ms = 50_000 + age * 1000;
        for stale in [false, true] {
            let given = if stale {
                cache.stale(&key, query, packet, now_ms, limit, &mut out)
            } else {
                cache.get(&key, query, packet, now_ms, limit, &mut out)
            };
            assert!(age > 0 || stale || given.is_some(), "gone at once");
            let Some(Given { length, .. }) = given else { continue };
            let again = well_formed(&out[..length], packet, query.echo(), limit);
            if was_whole {
                assert_eq!((again.flags, again.counts), (first.flags, first.counts));
            } else if again.flags == first.flags {
                // Shortened: what stood behind an OPT is one with the other records in the cache, so more of it may fit.
                assert_eq!(again.counts[..2], first.counts[..2]);
                assert!(again.counts[2..] >= first.counts[2..]);
            } else {
                assert_eq!(
                    first.flags,
                    again.flags & !0x0020 | 0x0200,
                    "TC where an OPT stood before what is required"
                );
            }
            assert_eq!(again.rcode, first.rcode);
            for ((at, ttl), (at_first, ttl_first)) in again.ttls.iter().zip(&first.ttls) {
                assert_eq!(at, at_first);
                assert!(*ttl <= *ttl_first || *ttl == 30);
            }
        }
    }
    cache.fail(&key, query, 22, 300_000_000);
    let length = cache.get(&key, query, packet, 300_000_000, limit, &mut out).expect("a failure is kept").length;
    well_formed(&out[..length], packet, query.echo(), limit);
}

/// A message as an independent reader sees it.
pub struct Message {
    pub flags: u16,
    pub rcode: u16,
    pub counts: [u16; 4],
    /// Offset and value of the TTLs, the OPT's left out.
    pub ttls: Vec<(usize, u32)>,
    /// Where the records of the answer section end, and all but the OPT.
    pub answers_end: usize,
    pub records_end: usize,
}

/// The owner at `at`, in lower case, and where it ends. A pointer must lead back, and a name to its end.
fn owner(message: &[u8], start: usize) -> (Vec<u8>, usize) {
    let (mut at, mut before, mut end) = (start, start, None);
    let mut name = Vec::new();
    loop {
        let length = usize::from(message[at]);
        match length {
            0 => break,
            192.. => {
                end.get_or_insert(at + 2);
                let target = (length & 63) << 8 | usize::from(message[at + 1]);
                assert!(target < before, "a name that leads into itself");
                (at, before) = (target, target);
            }
            _ => {
                name.extend(message[at..=at + length].to_ascii_lowercase());
                at += 1 + length;
            }
        }
        assert!(name.len() < 255, "a name too long");
    }
    (name, end.unwrap_or(at + 1))
}

/// Reads a message that was written for the client who sent `packet`; panics where it is not what every answer must be.
fn well_formed(message: &[u8], packet: &[u8], echo: Echo, limit: usize) -> Message {
    assert!(message.len() <= limit, "{} over {limit}", message.len());
    let word = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let question_end = usize::from(echo.question_end);
    assert_eq!(message[..2], packet[..2], "its id");
    assert_eq!(message[12..question_end], packet[12..question_end], "its question");
    let flags = word(2);
    let asked = u16::from_be_bytes([packet[2], packet[3]]);
    assert_eq!(flags & 0xf910, asked & 0x7910 | 0x8000, "QR, opcode, RD and CD");
    let counts = [word(4), word(6), word(8), word(10)];
    assert_eq!(counts[0], u16::from(question_end > 12));
    let mut at = question_end;
    let mut ttls = Vec::new();
    let (mut answers_end, mut records_end) = (at, at);
    let mut opts = 0;
    let mut rcode = flags & 15;
    for record in 0..usize::from(counts[1]) + usize::from(counts[2]) + usize::from(counts[3]) {
        let start = at;
        at = owner(message, start).1;
        let ttl = u32::from(word(at + 4)) << 16 | u32::from(word(at + 6));
        if word(at) == 41 {
            opts += 1;
            assert!(record >= usize::from(counts[1]) + usize::from(counts[2]), "an OPT outside its section");
            assert_eq!((message[start], word(at + 2)), (0, 1232));
            let edns = echo.edns.expect("an OPT for one who sent none");
            assert_eq!(ttl & 0x00ff_ffff, if edns.dnssec_ok { 0x8000 } else { 0 });
            rcode |= (ttl >> 24 << 4) as u16;
            let end = at + 10 + usize::from(word(at + 8));
            let mut option = at + 10;
            while option < end {
                assert_eq!(word(option), 15, "an option that is no extended error");
                let next = option + 4 + usize::from(word(option + 2));
                std::str::from_utf8(&message[option + 6..next]).expect("an INFO-CODE and UTF-8");
                option = next;
            }
            assert_eq!(option, end);
        } else {
            ttls.push((at + 4, ttl));
            records_end = at + 10 + usize::from(word(at + 8));
            if record < usize::from(counts[1]) {
                answers_end = records_end;
            }
            assert_ne!(word(at), 250, "the upstream's signature");
        }
        at += 10 + usize::from(word(at + 8));
    }
    assert_eq!(at, message.len(), "octets left over");
    assert_eq!(opts, usize::from(echo.edns.is_some()), "an OPT answers an OPT");
    Message { flags, rcode, counts, ttls, answers_end, records_end }
}

/// The end of the question of a message, if it has one of plain labels.
fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = 12;
    while *message.get(at)? != 0 {
        if message[at] > 63 || at > 12 + 255 {
            return None;
        }
        at += 1 + usize::from(message[at]);
    }
    (at + 5 <= message.len()).then_some(at + 5)
}

/// Opens the sealed lists of the corpus.
pub const KEY: [u8; 16] = [7; 16];
/// Names of those, and some that are on none.
pub const SEALED: [&str; 5] =
    ["planted0.example", "www.planted1.example", "planted2.example", "example", "other.example"];

/// A compiled list that somebody else wrote. It is refused, or every name in it is found again; a digest, where it is that
/// of a name asked for.
pub fn list(data: &[u8]) {
    let Ok(list) = CompiledList::from_bytes(&with_right_checksum(data.to_vec())) else { return };
    let opened: Vec<u8> = (0..=u8::MAX).filter(|&number| list.unseal(number, &KEY).is_ok()).collect();
    let mut hits = Hits::new();
    for row in 0..list.rows() {
        if let Some(name) = list.name(row) {
            let name = Name::from_text(&name).expect("one that can be asked for");
            list.look_up(&[&name, &Name::ROOT], &mut hits);
            assert!(hits.of(0).first().is_some_and(|hit| hit.row == row && hit.distance == 0), "{name:?}");
            assert!(hits.of(1).is_empty());
        }
        let rules = list.rules(row).len();
        assert!(rules > 0 && (0..rules).all(|rule| list.record(row, rule).is_some()));
    }
    let names = SEALED.map(|name| Name::from_text(name).expect("a name"));
    list.look_up(&names.each_ref(), &mut hits);
    for hit in hits.all() {
        let rules = list.rules(hit.row);
        assert!(list.name(hit.row).is_some() || rules.iter().all(|rule| opened.contains(&rule.list)));
    }
    assert!(list.name(list.rows()).is_none() && list.rules(list.rows()).is_empty());
}
