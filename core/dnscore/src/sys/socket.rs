//! Sockets: those the supervisor hands over, and those towards upstreams.

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

const LARGE_BUFFER: i32 = 8 << 20;
const UPSTREAM_BUFFER: i32 = 4 << 20;

/// A bound UDP socket that clients send to. Its owner is the caller: dropping this does not close it.
#[derive(Debug, Clone, Copy)]
pub struct Listener {
    fd: RawFd,
    address: SocketAddr,
}

impl Listener {
    /// Sets what a DNS listener needs on the socket. Its owner keeps it open for as long as the listener is in use; the
    /// settings are made through a second descriptor, closed on return, since they belong to the socket.
    pub fn adopt(socket: BorrowedFd<'_>) -> io::Result<Listener> {
        let fd = socket.as_raw_fd();
        let socket = UdpSocket::from(socket.try_clone_to_owned()?);
        let address = socket.local_addr()?;
        if option(fd, libc::SOL_SOCKET, libc::SO_TYPE)? != libc::SOCK_DGRAM {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a datagram socket"));
        }
        socket.set_nonblocking(true)?;
        enlarge(fd, libc::SO_RCVBUF, libc::SO_RCVBUFFORCE, LARGE_BUFFER);
        enlarge(fd, libc::SO_SNDBUF, libc::SO_SNDBUFFORCE, LARGE_BUFFER);
        never_fragment_by_rumour(fd, &address);
        if address.ip().is_unspecified() {
            match address {
                SocketAddr::V4(_) => set(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?,
                SocketAddr::V6(_) => {
                    set(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
                }
            }
        }
        Ok(Listener { fd, address })
    }

    /// Makes the socket this process's alone among those that ask so, until the process ends, or closes any descriptor of
    /// it: a lock of fcntl(2), which needs no file. The number of the socket, the same in each process that has it;
    /// `None`: another process claims it.
    pub fn claim(&self) -> io::Result<Option<u64>> {
        // SAFETY: `flock` and `stat` are integers, for which all zeroes is a value.
        let (mut lock, mut about): (libc::flock, libc::stat) = unsafe { (mem::zeroed(), mem::zeroed()) };
        lock.l_type = libc::F_WRLCK as _;
        lock.l_whence = libc::SEEK_SET as _;
        // SAFETY: both live through the calls, which read the one and write the other.
        let claimed = unsafe { libc::fcntl(self.fd, libc::F_SETLK, &raw const lock) } == 0;
        if !claimed {
            let error = io::Error::last_os_error();
            let is_claimed = matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES));
            return if is_claimed { Ok(None) } else { Err(error) };
        }
        // SAFETY: as above.
        match unsafe { libc::fstat(self.fd, &raw mut about) } {
            0 => Ok(Some(about.st_ino)),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// The descriptor.
    pub fn raw(&self) -> RawFd {
        self.fd
    }

    /// What it is bound to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// It is bound to all addresses, so each datagram says which it was sent to.
    pub fn is_wildcard(&self) -> bool {
        self.address.ip().is_unspecified()
    }
}

/// Does `work` with a descriptor that is known by its number alone, as another language hands it over; EBADF where nothing
/// is open under it. Its owner must not close it meanwhile.
pub fn with_borrowed<T>(fd: RawFd, work: impl FnOnce(BorrowedFd<'_>) -> io::Result<T>) -> io::Result<T> {
    // SAFETY: it reads and writes no memory; a number that is no descriptor, -1 too, is an error.
    if unsafe { libc::fcntl(fd, libc::F_GETFD) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was open just now, so it is not -1, and the owner, who called, keeps it open until `work` returns; the
    // borrow goes no further than that call.
    work(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// A socket connected to an upstream, on a port that the kernel picks at random from the local range.
///
/// Connected, the kernel drops what comes from elsewhere, and reports ECONNREFUSED.
pub fn connect(upstream: SocketAddr) -> io::Result<UdpSocket> {
    let any = match upstream {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    let fd = socket.as_raw_fd();
    never_fragment_by_rumour(fd, &upstream);
    socket.connect(upstream)?;
    enlarge(fd, libc::SO_RCVBUF, libc::SO_RCVBUFFORCE, UPSTREAM_BUFFER);
    enlarge(fd, libc::SO_SNDBUF, libc::SO_SNDBUFFORCE, UPSTREAM_BUFFER);
    Ok(socket)
}

/// IP(V6)_PMTUDISC_OMIT: a forged "fragmentation needed" must not make us send fragments, into which an attacker can
/// splice. Absent in old kernels and containers that filter; then path MTU discovery stays as it was.
fn never_fragment_by_rumour(fd: RawFd, address: &SocketAddr) {
    let result = match address {
        SocketAddr::V4(_) => set(fd, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_OMIT),
        SocketAddr::V6(_) => set(fd, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_OMIT),
    };
    drop(result);
}

/// A buffer of that size: beyond `rmem_max` where we may, else as much as is allowed. Small buffers lose queries in a
/// burst, they do not stop anything.
fn enlarge(fd: RawFd, name: i32, forced: i32, size: i32) {
    if set(fd, libc::SOL_SOCKET, forced, size).is_err() {
        drop(set(fd, libc::SOL_SOCKET, name, size));
    }
}

fn set(fd: RawFd, level: i32, name: i32, value: i32) -> io::Result<()> {
    // SAFETY: the option's value is a live i32 and its length is given; the kernel only reads it.
    let r = unsafe {
        libc::setsockopt(fd, level, name, (&raw const value).cast(), mem::size_of::<i32>() as libc::socklen_t)
    };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn option(fd: RawFd, level: i32, name: i32) -> io::Result<i32> {
    let mut value = 0i32;
    let mut length = mem::size_of::<i32>() as libc::socklen_t;
    // SAFETY: `value` and `length` live through the call, and `length` is the room at `value`.
    let r = unsafe { libc::getsockopt(fd, level, name, (&raw mut value).cast(), &raw mut length) };
    if r < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// What is written leaves at once (TCP_NODELAY); connections accepted at a listening socket have it from that.
pub fn send_at_once(socket: &impl AsRawFd) -> io::Result<()> {
    set(socket.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)
}

/// The fault of this process or host, of nobody at the other end.
pub fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
