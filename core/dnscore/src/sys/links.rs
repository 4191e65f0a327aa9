//! The sockets towards the upstreams: which there are, which one the next batch leaves by, when one has had its day.
//!
//! Towards a remote upstream 256 connected sockets, so 256 random ports, opened as they are first picked; one is picked
//! unpredictably for each batch and retired after a minute. A retired socket is listened to for as long as a slot lives.
//! Towards an upstream on loopback four, kept: who can forge there needs no guessing.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};

use super::{Poll, connect};
use crate::relay::random::Random;

/// Sockets towards an upstream on this host.
pub const LOOPBACK_SOCKETS: usize = 4;
/// A socket's day, in microseconds.
const DAY: u64 = 60_000_000;
/// How long a retired one is listened to: a slot's life and some.
const EVENING: u64 = 6_000_000;
/// Datagrams that nothing was asked for, on one socket, before its questions leave it.
const MAX_STRAYS: u8 = 8;

/// Marks the tokens of links in the poll; the rest of the token is the index and the serial number.
pub const LINK: u64 = 1 << 63;

/// One socket.
#[derive(Debug)]
struct Link {
    serial: u32,
    upstream: u32,
    socket: UdpSocket,
    local: SocketAddr,
    opened: u64,
    closes: u64,
    strays: u8,
}

/// The sockets of one upstream.
#[derive(Debug)]
struct Pool {
    upstream: u32,
    address: SocketAddr,
    keep: bool,
    places: Vec<Option<u32>>,
}

/// A socket that was picked.
#[derive(Clone, Copy, Debug)]
pub struct Picked {
    /// Its place in the table.
    pub index: u32,
    /// Its serial number, never used twice.
    pub serial: u32,
    /// The descriptor.
    pub fd: RawFd,
}

/// All sockets towards upstreams.
#[derive(Debug, Default)]
pub struct Links {
    links: Vec<Option<Link>>,
    free: Vec<u32>,
    pools: Vec<Pool>,
    serial: u32,
    /// One bit a local port of ours: a query from there has come round in a circle.
    ports: Vec<u64>,
    /// Sockets opened in place of broken ones.
    pub reopened: u64,
}

impl Links {
    /// No sockets.
    pub fn new() -> Links {
        Links { ports: vec![0; 1024], ..Links::default() }
    }

    /// The upstreams there are from now on: (uid, address, on loopback). Sockets of others are retired.
    pub fn set_upstreams(&mut self, upstreams: &[(u32, SocketAddr, bool)], remote_sockets: usize, now: u64) {
        let known: Vec<u32> = upstreams.iter().map(|(uid, ..)| *uid).collect();
        for pool in &mut self.pools {
            if !known.contains(&pool.upstream) {
                for index in pool.places.drain(..).flatten() {
                    if let Some(Some(link)) = self.links.get_mut(index as usize) {
                        link.closes = now + EVENING;
                    }
                }
            }
        }
        self.pools.retain(|pool| known.contains(&pool.upstream));
        for &(upstream, address, loopback) in upstreams {
            if !self.pools.iter().any(|pool| pool.upstream == upstream) {
                let size = if loopback { LOOPBACK_SOCKETS } else { remote_sockets.max(1) };
                self.pools.push(Pool { upstream, address, keep: loopback, places: vec![None; size] });
            }
        }
    }

    /// A socket for the next batch, opened if need be. `Err`: none could be opened and none is open.
    pub fn pick(&mut self, upstream: u32, poll: &Poll, random: &mut Random, now: u64) -> io::Result<Picked> {
        let pool = self.pools.iter().position(|pool| pool.upstream == upstream);
        let pool = pool.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let place = random.below(self.pools[pool].places.len());
        if let Some(index) = self.pools[pool].places[place]
            && let Some(link) = &self.links[index as usize]
            && (self.pools[pool].keep || now < link.opened + DAY)
        {
            return Ok(Picked { index, serial: link.serial, fd: link.socket.as_raw_fd() });
        }
        match self.open(pool, poll, now) {
            Ok(picked) => {
                if let Some(old) = self.pools[pool].places[place].replace(picked.index)
                    && let Some(link) = &mut self.links[old as usize]
                {
                    link.closes = now + EVENING;
                }
                Ok(picked)
            }
            // Out of descriptors, say: another socket that is open will do.
            Err(error) => {
                let open = self.pools[pool].places.iter().flatten();
                let links = &self.links;
                let mut open = open.filter_map(|&i| links[i as usize].as_ref().map(|link| (i, link)));
                let spare = open.next().map(|(index, link)| (index, link.serial, link.socket.as_raw_fd()));
                spare.map(|(index, serial, fd)| Picked { index, serial, fd }).ok_or(error)
            }
        }
    }

    fn open(&mut self, pool: usize, poll: &Poll, now: u64) -> io::Result<Picked> {
        let Pool { upstream, address, .. } = self.pools[pool];
        let socket = connect(address)?;
        let local = socket.local_addr()?;
        let fd = socket.as_raw_fd();
        let serial = self.serial;
        let index = self.free.pop().unwrap_or_else(|| {
            self.links.push(None);
            (self.links.len() - 1) as u32
        });
        if let Err(error) = poll.add(fd, LINK | u64::from(index) << 32 | u64::from(serial)) {
            self.free.push(index);
            return Err(error);
        }
        self.serial = self.serial.wrapping_add(1);
        self.mark(local.port(), true);
        self.links[index as usize] =
            Some(Link { serial, upstream, socket, local, opened: now, closes: u64::MAX, strays: 0 });
        Ok(Picked { index, serial, fd })
    }

    fn mark(&mut self, port: u16, ours: bool) {
        let bit = 1 << (port & 63);
        let word = &mut self.ports[usize::from(port >> 6)];
        if ours {
            *word |= bit;
        } else {
            *word &= !bit;
        }
    }

    /// The link behind a token, if it is still open: its descriptor, its serial number, its upstream.
    #[inline]
    pub fn of_token(&self, token: u64) -> Option<(Picked, u32)> {
        let index = (token & !LINK) >> 32;
        let link = self.links.get(index as usize)?.as_ref()?;
        let picked = Picked { index: index as u32, serial: link.serial, fd: link.socket.as_raw_fd() };
        (link.serial == token as u32).then_some((picked, link.upstream))
    }

    /// That socket is still open: its descriptor is its own.
    #[inline]
    pub fn holds(&self, picked: &Picked) -> bool {
        self.links.get(picked.index as usize).and_then(Option::as_ref).is_some_and(|link| link.serial == picked.serial)
    }

    /// A datagram came there that nothing was asked for; true once there were so many that somebody seems to guess.
    pub fn stray(&mut self, index: u32) -> bool {
        let Some(Some(link)) = self.links.get_mut(index as usize) else { return false };
        link.strays = link.strays.saturating_add(1);
        link.strays >= MAX_STRAYS
    }

    /// An answer that counted came there: strays before it were chance (a doubled datagram, one that came too late).
    #[inline]
    pub fn well(&mut self, index: u32) {
        if let Some(Some(link)) = self.links.get_mut(index as usize) {
            link.strays = 0;
        }
    }

    /// Closes a socket at once: it broke, or somebody has found its port.
    pub fn close(&mut self, index: u32) {
        let Some(Some(link)) = self.links.get_mut(index as usize).map(Option::take) else { return };
        for pool in &mut self.pools {
            for place in &mut pool.places {
                place.take_if(|held| *held == index);
            }
        }
        self.mark(link.local.port(), false);
        self.free.push(index);
    }

    /// Closes what was retired long enough ago.
    pub fn tick(&mut self, now: u64) {
        for index in 0..self.links.len() {
            if self.links[index].as_ref().is_some_and(|link| link.closes <= now) {
                self.close(index as u32);
            }
        }
    }

    /// A query came from this address: is it one of our own sockets towards an upstream?
    #[inline]
    pub fn is_ours(&self, port: u16, address: impl FnOnce() -> SocketAddr) -> bool {
        self.ports[usize::from(port >> 6)] >> (port & 63) & 1 != 0 && self.is_ours_exactly(address())
    }

    #[cold]
    fn is_ours_exactly(&self, address: SocketAddr) -> bool {
        self.links.iter().flatten().any(|link| link.local == address)
    }

    /// Open sockets.
    pub fn open_now(&self) -> usize {
        self.links.iter().flatten().count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upstream() -> (UdpSocket, SocketAddr) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let address = socket.local_addr().expect("bound");
        (socket, address)
    }

    #[test]
    fn batches_leave_by_many_ports_and_a_socket_retires_after_a_minute() {
        let (_socket, address) = upstream();
        let (poll, mut random, mut links) = (Poll::new().expect("epoll"), Random::seeded(5), Links::new());
        links.set_upstreams(&[(1, address, false)], 16, 0);
        let mut serials = std::collections::HashSet::new();
        for _ in 0..400 {
            serials.insert(links.pick(1, &poll, &mut random, 0).expect("a socket").serial);
        }
        assert_eq!(serials.len(), 16);
        let later = DAY + 1;
        for _ in 0..400 {
            assert!(!serials.contains(&links.pick(1, &poll, &mut random, later).expect("a socket").serial));
        }
        assert_eq!(links.open_now(), 32);
        links.tick(later + EVENING + 1);
        assert_eq!(links.open_now(), 16);
    }

    #[test]
    fn sockets_of_an_upstream_that_is_gone_are_listened_to_for_a_while() {
        let (_socket, address) = upstream();
        let (poll, mut random, mut links) = (Poll::new().expect("epoll"), Random::seeded(5), Links::new());
        links.set_upstreams(&[(1, address, true)], 16, 0);
        let picked = links.pick(1, &poll, &mut random, 0).expect("a socket");
        links.set_upstreams(&[], 16, 0);
        assert!(links.pick(1, &poll, &mut random, 0).is_err());
        let token = LINK | u64::from(picked.index) << 32 | u64::from(picked.serial);
        assert!(links.of_token(token).is_some());
        links.tick(EVENING);
        assert!(links.of_token(token).is_none());
    }

    #[test]
    fn a_query_from_one_of_our_own_sockets_is_known() {
        let (socket, address) = upstream();
        let (poll, mut random, mut links) = (Poll::new().expect("epoll"), Random::seeded(5), Links::new());
        links.set_upstreams(&[(1, address, true)], 16, 0);
        let picked = links.pick(1, &poll, &mut random, 0).expect("a socket");
        let local = links.links[picked.index as usize].as_ref().expect("open").local;
        let seen = SocketAddr::from(([127, 0, 0, 1], local.port()));
        assert!(links.is_ours(local.port(), || seen));
        assert!(!links.is_ours(local.port(), || SocketAddr::from(([192, 0, 2, 1], local.port()))));
        assert!(!links.is_ours(address.port(), || address));
        drop(socket);
    }
}
