//! How a servent comes to be: lock, name, port, shares, downloads, and then the network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use futures::FutureExt;

use super::bootstrap::Cache;
use super::downloads::{Downloads, DownloadsConfig, Hooks, OurFeatures, Us};
use super::events::{Bell, Broadcast};
use super::inner::{Inner, Warnings};
use super::kept::Kept;
use super::kept_hosts::unix_now;
use super::portmap::{PortMap, PortMapping};
use super::proxies::{Proxies, Wall};
use super::pushes::Pushes;
use super::resolve::HostPort;
use super::searches::Searches;
use super::shelf::{Consent, Lasting, Shelf, Totals};
use super::speeds::Speeds;
use super::uploads::{BrowseHooks, UploadHooks, Uploads, UploadsConfig};
use super::view::EventView;
use super::watches::Watches;
use super::{Error, ErrorCode, Node, Options};
use crate::base::{HashSeed, Rng};
use crate::disk::lock::{Lock, LockError};
use crate::net::rt::{self, TcpListener};
use crate::net::{self, Clock, Descriptors, Ends, Identity, Lan, LanState, ListenConfig, Mdns, Ports};
use crate::proto::dnssd::Service;
use crate::proto::{self, Command, Encrypt, Reachable, Role, RoleChoice};
use crate::transfer::browse;
use crate::wire::Guid;
use crate::wire::addr::is_public;
use crate::wire::features::Features;
use crate::wire::ggep::Ggep;
use crate::wire::hit::{Qhd, QueryHit};

/// Ports tried after the default one when that is taken.
const NEXT_PORTS: u16 = 100;

/// [`Node::start`].
pub(super) async fn start(options: Options) -> Result<Node, Error> {
    let hosts = options.connect.iter().map(|host| HostPort::parse(host)).collect::<Result<Vec<_>, _>>()?;
    let caches = Cache::parse_all(&options.bootstrap)?;
    let lock = if options.private { None } else { Some(take_home(&options)?) };
    let (events, warnings) = (Arc::new(Broadcast::default()), Arc::new(Warnings::default()));
    let mut rng = Rng::from_seed(seed()?);
    let kept = Kept::at(&options.home.state);
    // Two servents must not go by one name at the same time.
    let servent = if options.private { Guid::random(&mut rng) } else { kept.servent(&mut rng)? };

    let (listener, listen) = open_port(&options, &warnings, &events).await?;
    let descriptors = Descriptors::raise();
    let connections = ListenConfig::within(descriptors);
    if descriptors.are_few() && !options.private {
        let message = format!(
            "only {} files may be open at a time: others may hold {} connections for files; `ulimit -n 4096` before `filbert up` allows more",
            descriptors.0, connections.served
        );
        warnings.add(options.home.typed(&message), &events);
    }
    let clock = Clock::start();
    let identity = match (options.encrypt, options.private) {
        (Encrypt::Off, _) => None,
        (_, true) => Some(Identity::new(seed()?)),
        (_, false) => Some(kept.identity(seed()?)?),
    };
    let key = identity.as_ref().map(Identity::public);
    let (mut ports, lan) = open_udp(&options, listen, &warnings, &events);
    ports.mdns = open_mdns(&options, servent, listen, clock, rng.fork(), &warnings, &events);
    let mdns = ports.mdns.clone();
    let config = servent_config(&options, servent, descriptors);
    let running = net::start_with(config, identity, rng.fork(), clock, ports);
    let handle = running.handle;
    let searches = Searches::open(servent, handle.clone(), kept.search.clone());
    let file = (!options.private).then(|| kept.watches.clone());
    let seed = HashSeed::new(&mut rng);
    let watches = Watches::open(servent, clock, seed, options.watch_pace, Arc::clone(&searches), file);
    let shelf = Shelf::open(&options, &mut rng, &warnings, &events)?;
    take_up_shares(&options, &kept, &shelf, &warnings, &events).await?;
    let (pushes, called) = Pushes::new(servent, handle.clone());
    let speeds = Arc::new(Speeds::new(options.speeds, clock));
    let proxies = Arc::new(Proxies::new(servent, handle.clone()));
    let (us, features) = (where_we_are(listen, &proxies), features(options.browse, &proxies));
    let downloads =
        open_downloads(&options, &searches, &shelf, &pushes, &events, &speeds, us, features, rng.fork()).await?;
    let choice = if options.private { PortMapping::Off } else { options.portmap };
    let portmap = PortMap::new(choice, listen);
    let browse = options.browse.then(|| browse_hooks(servent, listen, &shelf, &proxies));
    let uploads = open_uploads(
        options.limits.uploads,
        browse,
        &downloads,
        &shelf,
        &proxies,
        &events,
        &handle,
        &speeds,
        rng.fork(),
    );

    handle.command(Command::Listening(listen));
    let (now, unix) = (clock.now(), unix_now());
    handle.command(Command::Recall(kept.hosts().iter().map(|host| host.info(now, unix)).collect()));

    let inner = Arc::new(Inner {
        servent,
        key,
        listen,
        clock,
        handle,
        kept,
        shelf,
        searches,
        watches,
        downloads,
        uploads: uploads.clone(),
        speeds,
        pushes: Arc::clone(&pushes),
        proxies,
        portmap: Arc::clone(&portmap),
        answers: options.limits.messages.answer_entries,
        events,
        warnings,
        words_changed: AtomicBool::new(false),
        words_bell: Bell::default(),
        linked: Bell::default(),
        lan,
        mdns,
        links: Mutex::default(),
        dials: Mutex::default(),
        queries_late: AtomicU64::new(0),
        hosts_changed: AtomicBool::new(false),
        hosts_bell: Bell::default(),
    });
    let ends = Ends { gate: running.gate, shelf: Arc::new(uploads), callers: pushes.callers(), called };
    let listener = rt::spawn(net::listen(connections, listener, ends));
    let tasks = vec![
        rt::spawn(Arc::clone(&inner).live(running.events)),
        rt::spawn(Arc::clone(&inner).tell_shares()),
        rt::spawn(Arc::clone(&inner).tell_words()),
        rt::spawn(Arc::clone(&inner).bootstrap(caches)),
        rt::spawn(Arc::clone(&inner).tend_hosts()),
        rt::spawn(Arc::clone(&inner).tend_watches()),
        rt::spawn(Arc::clone(&inner).keep_watches()),
        rt::spawn(Arc::clone(&inner).connect_all(hosts)),
        rt::spawn(portmap.tend(listen.port(), inner.handle.clone(), rng.fork())),
    ];
    Ok(Node::new(inner, running.task, listener, tasks, lock))
}

fn take_home(options: &Options) -> Result<Lock, Error> {
    Lock::take(&options.home.state).map_err(|error| {
        let code = if let LockError::Held { .. } = error { ErrorCode::InUse } else { ErrorCode::Failed };
        Error::new(code, error.to_string())
    })
}

fn seed() -> Result<[u8; 32], Error> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)
        .map_err(|error| Error::new(ErrorCode::Failed, format!("the system gives no randomness: {error}")))?;
    Ok(seed)
}

/// Opens the port that was asked for. The default one gives way to the next that is free.
async fn open_port(
    options: &Options,
    warnings: &Warnings,
    events: &Broadcast,
) -> Result<(TcpListener, SocketAddr), Error> {
    let asked = options.listen;
    let failed = |error: &io::Error| {
        let (code, why) = match error.kind() {
            io::ErrorKind::AddrInUse => (ErrorCode::InUse, "in use by another program or servent".to_owned()),
            _ => (ErrorCode::Failed, error.to_string()),
        };
        Error::new(code, format!("cannot listen on {asked}: {why}"))
            .hint(format!("Try --listen {}", SocketAddr::new(asked.ip(), 0)))
    };
    // Who chose an address gets that one; who chose none is reached by IPv4 and IPv6.
    let everywhere = !options.listen_given && asked.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let bind = |port| match everywhere {
        true => net::bind_everywhere(port),
        false => net::bind(SocketAddr::new(asked.ip(), port)),
    };
    let mut opened = bind(asked.port());
    if !options.listen_given && asked.port() != 0 {
        for next in 1..=NEXT_PORTS {
            let in_use = matches!(&opened, Err(error) if error.kind() == io::ErrorKind::AddrInUse);
            let (true, Some(port)) = (in_use, asked.port().checked_add(next)) else { break };
            // There every servent of this machine hears the local network: UDP is taken.
            if port == net::GROUP.port() {
                continue;
            }
            opened = bind(port);
        }
    }
    let listener = opened.map_err(|error| failed(&error))?;
    let mut listen = listener.local_addr().map_err(|error| failed(&error))?;
    if everywhere {
        listen.set_ip(asked.ip());
    }
    if asked.port() != 0 && listen.port() != asked.port() {
        warnings.add(format!("port {} is in use; listening on {listen} instead", asked.port()), events);
    }
    Ok((listener, listen))
}

/// Opens UDP where TCP listens, and the group of the local network. The servent does without either, and says so.
fn open_udp(
    options: &Options,
    listen: SocketAddr,
    warnings: &Warnings,
    events: &Broadcast,
) -> (Ports, Option<Arc<LanState>>) {
    let udp = net::bind_udp(listen).map_err(|error| {
        let message = format!("UDP port {} cannot be opened: {error}; pings and pushes by UDP are not answered, and nobody is found on this network", listen.port());
        warnings.add(message, events);
    });
    let udp = udp.ok();
    let wanted = options.lan && !listen.ip().is_loopback();
    let Some(socket) = udp.clone().filter(|_| wanted) else { return (Ports { udp, ..Ports::default() }, None) };
    let state = Arc::new(LanState::default());
    match Lan::open(socket, listen, Arc::clone(&state)) {
        Ok(lan) => (Ports { udp, lan: Some(lan), mdns: None }, Some(state)),
        Err(error) => {
            let message =
                format!("peers on this network cannot be found by multicast: {error}. Next: `filbert connect HOST`");
            warnings.add(options.home.typed(&message), events);
            (Ports { udp, ..Ports::default() }, None)
        }
    }
}

/// Opens Multicast DNS. The servent does without, and says so.
fn open_mdns(
    options: &Options,
    servent: Guid,
    listen: SocketAddr,
    clock: Clock,
    rng: Rng,
    warnings: &Warnings,
    events: &Broadcast,
) -> Option<Mdns> {
    if !options.lan || listen.ip().is_loopback() {
        return None;
    }
    let service = Service {
        machine: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        port: listen.port(),
        servent,
        version: env!("CARGO_PKG_VERSION"),
        role: if options.role == RoleChoice::Leaf { Role::Leaf } else { Role::Ultrapeer },
        // One that lives for one search has nothing to offer.
        visible: !options.private,
    };
    let opened = Mdns::open(listen, service, clock, rng);
    let why = |why: &String| warnings.add(format!("peers on this network are not looked for by mDNS: {why}"), events);
    opened.inspect_err(why).ok()
}

fn servent_config(options: &Options, servent: Guid, descriptors: Descriptors) -> proto::Config {
    let mut config = proto::Config {
        neighbours: options.neighbours,
        only_listed: options.only_listed,
        lan: options.lan && !options.listen.ip().is_loopback(),
        ttl: options.ttl,
        deflate: options.deflate,
        encrypt: options.encrypt,
        out_of_band: options.out_of_band,
        role: options.role,
        browse: options.browse,
        leaves: options.limits.leaves,
        accept: (options.limits.peers > 0).then_some(options.limits.peers),
        limits: options.limits.messages.clone(),
        ..proto::Config::new(servent)
    };
    if descriptors.are_few() {
        let half = descriptors.links() / 2;
        config.accept = Some(config.accept.unwrap_or(half).min(half));
        config.limits.handshakes = config.limits.handshakes.min(half);
    }
    config
}

/// Where others connect to us: within a site at our end of the connection that they talk to, beyond it where we are seen.
fn where_we_are(listen: SocketAddr, proxies: &Arc<Proxies>) -> Box<Us> {
    let proxies = Arc::clone(proxies);
    Box::new(move |local| {
        let Wall { reachable, us, .. } = proxies.wall();
        let here = local.map(|ip| SocketAddr::new(ip, listen.port()));
        let bound = Some(listen).filter(|listen| !listen.ip().is_unspecified());
        match here {
            Some(here) if !is_public(here.ip()) => {
                bound.or(Some(here)).filter(|_| us.is_none_or(|us| !is_public(us.ip())))
            }
            _ => None,
        }
        .or_else(|| us.or(bound).or(here).filter(|_| reachable != Reachable::No))
    })
}

/// What our requests say that we can do.
fn features(browse: bool, proxies: &Arc<Proxies>) -> Box<OurFeatures> {
    let proxies = Arc::clone(proxies);
    Box::new(move |there| Features { browse, queue: true, ipv6: proxies.uses_ipv6(there) })
}

#[allow(clippy::too_many_arguments, reason = "each is a part that the downloads are joined to")]
async fn open_downloads(
    options: &Options,
    searches: &Arc<Searches>,
    shelf: &Shelf,
    pushes: &Arc<Pushes>,
    events: &Arc<Broadcast>,
    speeds: &Speeds,
    us: Box<Us>,
    features: Box<OurFeatures>,
    rng: Rng,
) -> Result<Downloads, Error> {
    let config = DownloadsConfig {
        dir: options.download_dir.clone().unwrap_or_else(|| options.home.downloads.clone()),
        state: options.home.state.clone(),
        active: options.limits.downloads.max(1),
        resume: !options.private,
        give: options.give_downloads,
        agent: concat!("filbert/", env!("CARGO_PKG_VERSION")).to_owned(),
        speed: speeds.down().clone(),
    };
    let (searches, shelf, events) = (Arc::clone(searches), shelf.clone(), Arc::clone(events));
    let pushes = Arc::clone(pushes);
    let hooks = Hooks {
        requery: Box::new(move |urn| searches.requery(urn)),
        owned: Box::new(move |urn| shelf.path_of(urn)),
        us,
        features,
        push: Box::new(move |source| Arc::clone(&pushes).ask(source).boxed()),
        changed: Box::new(move |view| events.tell(|| EventView::Transfer(view))),
    };
    let downloads = Downloads::open(config, hooks, rng).await?;
    downloads.hold(speeds.limits().down_now().is_pause());
    Ok(downloads)
}

/// The list of what we share, and what our hits say of us in it.
fn browse_hooks(servent: Guid, listen: SocketAddr, shelf: &Shelf, proxies: &Arc<Proxies>) -> BrowseHooks {
    let (list, totals, proxies) = (shelf.clone(), shelf.clone(), Arc::clone(proxies));
    BrowseHooks {
        list: Box::new(move |from, count, each| list.library().list(from, count, each)),
        totals: Box::new(move || {
            let Totals { files, bytes, .. } = totals.totals();
            browse::Totals { files, bytes }
        }),
        hit: Box::new(move || {
            let Wall { reachable, us, proxies, .. } = proxies.wall();
            let walled = reachable == Reachable::No;
            let mut ggep = Ggep::default();
            if walled {
                Qhd::push_proxies(&mut ggep, &proxies);
            }
            Qhd::push_browse(&mut ggep);
            let qhd = Qhd::new(proto::Config::new(servent).vendor, walled, false).with_ggep(ggep);
            QueryHit::new(us.unwrap_or(listen), 0, Vec::new(), qhd, servent)
        }),
    }
}

#[allow(clippy::too_many_arguments, reason = "each is a part that the uploads are joined to")]
fn open_uploads(
    config: UploadsConfig,
    browse: Option<BrowseHooks>,
    downloads: &Downloads,
    shelf: &Shelf,
    proxies: &Arc<Proxies>,
    events: &Arc<Broadcast>,
    handle: &net::Handle,
    speeds: &Speeds,
    rng: Rng,
) -> Uploads {
    let (find, open, tree) = (shelf.clone(), shelf.clone(), shelf.clone());
    let (pass_on, describe, ipv6) = (Arc::clone(proxies), Arc::clone(proxies), Arc::clone(proxies));
    let (downloads, events, handle) = (downloads.clone(), Arc::clone(events), handle.clone());
    let under_way = Some(downloads.clone());
    let hooks = UploadHooks {
        find: Box::new(move |target| find.find(target)),
        open: Box::new(move |root, path| open.open_file(root, path)),
        tree: Box::new(move |file, kind| tree.tree(file, kind)),
        pass_on: Box::new(move |request, servent, from| pass_on.pass_on(request, servent, from)),
        browse,
        uses_ipv6: Box::new(move |there| ipv6.uses_ipv6(there)),
        describe: Box::new(move |headers, family| describe.describe(headers, family)),
        next_id: Box::new(move || downloads.next_id()),
        changed: Box::new(move |view| events.tell(|| EventView::Transfer(view))),
        busy: Box::new(move |busy| handle.command(Command::UploadsBusy(busy))),
        downloads: under_way,
        speed: speeds.up().clone(),
    };
    let uploads = Uploads::new(config, hooks, rng);
    let limits = speeds.limits();
    uploads.hold(limits.up_now().min(limits.peer_up).is_pause());
    uploads
}

/// Takes up the shares of the state and those of this run, without waiting for their files.
async fn take_up_shares(
    options: &Options,
    kept: &Kept,
    shelf: &Shelf,
    warnings: &Warnings,
    events: &Broadcast,
) -> Result<(), Error> {
    if options.private {
        return Ok(());
    }
    // Whoever keeps a share has confirmed it once.
    for share in kept.shares() {
        if let Err(error) = shelf.again(share).await {
            warnings.add(error.to_string(), events);
        }
    }
    for path in &options.share {
        shelf.share(path.clone(), Vec::new(), Consent::Asked, Lasting::ThisRun).await?;
    }
    Ok(())
}
