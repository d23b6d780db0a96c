//! A node's place: its namespaces, its TUN device, its addresses, its telemetry doors, its disk.

use std::{
    fs::File,
    io, mem,
    net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket},
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    thread,
    time::{Duration, Instant},
};

use crate::disk::{self, Disk, DiskSettings};

/// Ethernet's; QUIC finds out by itself what fits.
const MTU: libc::c_int = 1500;
const DEVICE: &[u8] = b"lab0";
/// Usually a millisecond; a busy host may take its time.
const IPV6_WITHIN: Duration = Duration::from_secs(5);
const OTLP_HTTP_PORT: u16 = 4318;
const OTLP_GRPC_PORT: u16 = 4317;

/// Everything that is made for one node. It vanishes with these descriptors and the processes
/// that entered: nothing of it has a name in the file system.
pub(crate) struct Place {
    pub(crate) net: OwnedFd,
    pub(crate) mount: OwnedFd,
    pub(crate) tun: OwnedFd,
    pub(crate) has_ipv6: bool,
    pub(crate) otlp_http: TcpListener,
    pub(crate) otlp_grpc: TcpListener,
    pub(crate) disk: Option<Disk>,
}

/// What could not be made, with what the system said.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) what: &'static str,
    pub(crate) error: io::Error,
}

trait Doing<T> {
    fn doing(self, what: &'static str) -> Result<T, Failure>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: &'static str) -> Result<T, Failure> {
        self.map_err(|error| Failure { what, error })
    }
}

/// Makes a place on a thread of its own, because namespaces belong to threads; the thread ends,
/// the descriptors keep what it made.
pub(crate) fn make(
    ipv4: Ipv4Addr,
    ipv6: Ipv6Addr,
    disk: Option<&DiskSettings>,
) -> Result<Place, Failure> {
    let builder = thread::Builder::new().name("lab-place".into());
    let disk = disk.cloned();
    let maker = builder.spawn(move || make_here(ipv4, ipv6, disk)).doing("a thread")?;
    maker.join().unwrap_or_else(|_| {
        Err(Failure { what: "a namespace", error: io::Error::other("its thread broke") })
    })
}

fn make_here(ipv4: Ipv4Addr, ipv6: Ipv6Addr, disk: Option<DiskSettings>) -> Result<Place, Failure> {
    // SAFETY: takes no pointers and concerns this thread only, which ends after this function.
    check(unsafe { libc::unshare(libc::CLONE_NEWNET) }).doing("a network namespace")?;
    // SAFETY: the same.
    check(unsafe { libc::unshare(libc::CLONE_NEWNS) }).doing("a mount namespace")?;
    // What a node mounts must not show on the host.
    // SAFETY: the path is a constant with its terminating zero; the other pointers may be null.
    check(unsafe {
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        libc::mount(std::ptr::null(), c"/".as_ptr(), std::ptr::null(), flags, std::ptr::null())
    })
    .doing("private mounts")?;
    let disk = disk.map(|disk| disk::make(&disk)).transpose().doing("a disk of its own")?;
    let net = File::open("/proc/thread-self/ns/net").doing("a network namespace")?;
    let mount = File::open("/proc/thread-self/ns/mnt").doing("a mount namespace")?;
    let tun = open_tun().doing("a TUN device")?;
    let control = socket(libc::AF_INET).doing("a control socket")?;
    bring_up(&control, b"lo").doing("the loopback device")?;
    set_mtu(&control).doing("the device's MTU")?;
    set_ipv4(&control, ipv4).doing("an IPv4 address")?;
    bring_up(&control, DEVICE).doing("the device")?;
    route_all(&control).doing("a default route")?;
    // A kernel without IPv6 is told by the missing address family, here or at the address.
    let has_ipv6 = socket(libc::AF_INET6)
        .and_then(|six| set_ipv6(&six, &control, ipv6))
        .and_then(|()| await_ipv6(ipv6))
        .is_ok();
    let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    Ok(Place {
        net: net.into(),
        mount: mount.into(),
        tun,
        has_ipv6,
        otlp_http: listen(OTLP_HTTP_PORT).doing("a telemetry port")?,
        otlp_grpc: listen(OTLP_GRPC_PORT).doing("a telemetry port")?,
        disk,
    })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn socket(family: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers; a non-negative result is a descriptor that nobody else owns.
    unsafe {
        let fd = libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        check(fd)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// A TUN device without packet information, in the namespace of this thread.
fn open_tun() -> io::Result<OwnedFd> {
    let path = c"/dev/net/tun";
    let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
    // SAFETY: the path ends in zero; a non-negative result is a descriptor that nobody else owns.
    let tun = unsafe {
        let fd = libc::open(path.as_ptr(), flags);
        check(fd)?;
        OwnedFd::from_raw_fd(fd)
    };
    let mut request = request(DEVICE);
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
    ioctl(&tun, libc::TUNSETIFF, &mut request)?;
    Ok(tun)
}

fn request(device: &[u8]) -> libc::ifreq {
    // SAFETY: the structure is plain numbers and unions of them; all zeroes is a value of it.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The rest of the name stays zero, which ends it.
    for (to, from) in request.ifr_name.iter_mut().zip(device) {
        *to = *from as libc::c_char;
    }
    request
}

fn ioctl<T>(fd: &OwnedFd, call: libc::c_ulong, argument: &mut T) -> io::Result<()> {
    // SAFETY: every caller passes the structure that its call reads or fills.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), call as _, argument as *mut T) })
}

fn bring_up(control: &OwnedFd, device: &[u8]) -> io::Result<()> {
    let mut request = request(device);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    ioctl(control, libc::SIOCSIFFLAGS, &mut request)
}

fn set_mtu(control: &OwnedFd) -> io::Result<()> {
    let mut request = request(DEVICE);
    request.ifr_ifru.ifru_mtu = MTU;
    ioctl(control, libc::SIOCSIFMTU, &mut request)
}

fn set_ipv4(control: &OwnedFd, address: Ipv4Addr) -> io::Result<()> {
    let inet = |address: Ipv4Addr| {
        // SAFETY: as in `request`; then the bytes of one structure become those of the general
        // one of the same size, which is what the system's interface asks for.
        unsafe {
            let mut inet: libc::sockaddr_in = mem::zeroed();
            inet.sin_family = libc::AF_INET as libc::sa_family_t;
            inet.sin_addr.s_addr = u32::from(address).to_be();
            mem::transmute::<libc::sockaddr_in, libc::sockaddr>(inet)
        }
    };
    let mut set = request(DEVICE);
    set.ifr_ifru.ifru_addr = inet(address);
    ioctl(control, libc::SIOCSIFADDR, &mut set)?;
    // 198.18.0.0/15: the whole test network is on the link.
    let mut mask = request(DEVICE);
    mask.ifr_ifru.ifru_netmask = inet(Ipv4Addr::new(255, 254, 0, 0));
    ioctl(control, libc::SIOCSIFNETMASK, &mut mask)
}

fn set_ipv6(six: &OwnedFd, control: &OwnedFd, address: Ipv6Addr) -> io::Result<()> {
    let mut index = request(DEVICE);
    ioctl(control, libc::SIOCGIFINDEX, &mut index)?;
    // SAFETY: as in `request`; the field was filled by the call above.
    let mut set: libc::in6_ifreq = unsafe { mem::zeroed() };
    set.ifr6_addr.s6_addr = address.octets();
    set.ifr6_prefixlen = 32;
    // SAFETY: `SIOCGIFINDEX` has filled this member of the union.
    set.ifr6_ifindex = unsafe { index.ifr_ifru.ifru_ifindex };
    ioctl(six, libc::SIOCSIFADDR, &mut set)?;
    let nowhere = libc::in6_addr { s6_addr: [0; 16] };
    let mut route = Ipv6Route {
        destination: nowhere,
        source: nowhere,
        gateway: nowhere,
        kind: 0,
        destination_bits: 0,
        source_bits: 0,
        metric: 1,
        info: 0,
        flags: u32::from(libc::RTF_UP),
        device: set.ifr6_ifindex,
    };
    ioctl(six, libc::SIOCADDRT, &mut route)
}

/// Waits until the address can be used. The kernel takes it as tentative and makes it a full one
/// in its own time, also on a device that has no neighbours to ask; a program that binds to it
/// before is refused.
fn await_ipv6(address: Ipv6Addr) -> io::Result<()> {
    let deadline = Instant::now() + IPV6_WITHIN;
    loop {
        match UdpSocket::bind((address, 0)) {
            Err(error)
                if error.kind() == io::ErrorKind::AddrNotAvailable && Instant::now() < deadline =>
            {
                thread::sleep(Duration::from_micros(200));
            }
            other => return other.map(drop),
        }
    }
}

/// `struct in6_rtmsg` of linux/ipv6_route.h; libc keeps its fields to itself.
#[repr(C)]
struct Ipv6Route {
    destination: libc::in6_addr,
    source: libc::in6_addr,
    gateway: libc::in6_addr,
    kind: u32,
    destination_bits: u16,
    source_bits: u16,
    metric: u32,
    info: libc::c_ulong,
    flags: u32,
    device: libc::c_int,
}

/// Routes every other address to the device too. It leads nowhere, but what a node tries to reach
/// outside then comes to the switch, which counts and names it.
fn route_all(control: &OwnedFd) -> io::Result<()> {
    // SAFETY: as in `request`; all zeroes is the route to everywhere, of no family yet.
    let mut route: libc::rtentry = unsafe { mem::zeroed() };
    route.rt_dst.sa_family = libc::AF_INET as libc::sa_family_t;
    route.rt_genmask.sa_family = libc::AF_INET as libc::sa_family_t;
    route.rt_flags = libc::RTF_UP;
    let mut name = request(DEVICE).ifr_name;
    route.rt_dev = name.as_mut_ptr();
    ioctl(control, libc::SIOCADDRT, &mut route)
}
