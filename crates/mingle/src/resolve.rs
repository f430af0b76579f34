//! Names, off the data path: the exit's thread asks here and is told when there is an answer.
//!
//! Nothing is kept between questions: whoever seizes the exit should find no list of the names its
//! users asked for, so only the channel that asked remembers the answer (DESIGN 4.6).

use std::net::IpAddr;
use std::sync::Arc;

use datagram::exit::Question;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::{Resolver, TokioResolver};
use tokio::sync::{Semaphore, mpsc};

use crate::config::Outside;
use crate::drive::exit::ExitCommand;
use crate::drive::mailbox::Mailbox;
use crate::{Error, log};

/// Makes the resolver of an exit.
///
/// # Errors
/// When those who are set cannot be asked.
pub(crate) fn resolver(outside: &Outside) -> Result<TokioResolver, Error> {
    let served = |family: fn(&IpAddr) -> bool| outside.addresses.iter().any(family);
    let failed = |why: hickory_resolver::net::NetError| {
        Error::Usage(format!("cannot make a resolver: {why}; look at outside.resolvers"))
    };
    let by_address = |servers| {
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        Resolver::builder_with_config(config, TokioRuntimeProvider::default())
    };
    let mut builder = if outside.resolvers.is_empty() {
        Resolver::builder_tokio().unwrap_or_else(|why| {
            log::warning(format_args!(
                "the system names nobody who resolves names ({why}): only /etc/hosts is known; \
                 set outside.resolvers in config.toml, such as [\"9.9.9.9:53\"]"
            ));
            by_address(Vec::new())
        })
    } else {
        let servers = outside.resolvers.iter().map(|address| {
            let mut server = NameServerConfig::udp_and_tcp(address.ip());
            for connection in &mut server.connections {
                connection.port = address.port();
            }
            server
        });
        by_address(servers.collect())
    };
    let options = builder.options_mut();
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Always;
    // UDP has no handshake that could show which family works, so the commoner one goes first.
    options.ip_strategy = match (served(IpAddr::is_ipv4), served(IpAddr::is_ipv6)) {
        (true, false) => LookupIpStrategy::Ipv4Only,
        (false, true) => LookupIpStrategy::Ipv6Only,
        _ => LookupIpStrategy::Ipv4AndIpv6,
    };
    builder.build().map_err(failed)
}

/// Answers questions until the exit ends; `at_once` are under way at one time.
pub(crate) async fn serve(
    resolver: TokioResolver,
    at_once: usize,
    mut questions: mpsc::Receiver<(Question, String)>,
    mailbox: Mailbox<ExitCommand>,
) {
    let resolver = Arc::new(resolver);
    let places = Arc::new(Semaphore::new(at_once));
    while let Some((question, name)) = questions.recv().await {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (resolver, mailbox) = (resolver.clone(), mailbox.clone());
        tokio::spawn(async move {
            let answer = look_up(&resolver, &name).await;
            mailbox.send(ExitCommand::Resolved { question, answer });
            drop(place);
        });
    }
}

/// All addresses of a name; none when there is no such name, or nobody answers in time.
async fn look_up(resolver: &TokioResolver, name: &str) -> Vec<IpAddr> {
    // With the final dot the name is complete: an exit's own domain must not be tried behind it.
    let name = if name.ends_with('.') { name.to_owned() } else { format!("{name}.") };
    match resolver.lookup_ip(name).await {
        Ok(found) => found.iter().take(ADDRESSES_MAX).collect(),
        Err(_) => Vec::new(),
    }
}

/// More addresses of one name are of no use to anyone.
const ADDRESSES_MAX: usize = 16;
