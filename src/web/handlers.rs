//! What each route does: the request taken apart, one call of the facade, the view written as JSON.

use std::ops::RangeInclusive;
use std::sync::Arc;

use futures::future::join_all;
use futures::{FutureExt, StreamExt};
use hyper::header::{IF_RANGE, RANGE};
use serde::de::DeserializeOwned;

use super::answer::{self, Answer};
use super::bodies::{
    Disconnected, Ended, Host, Hosts, Level, LoginRequest, Neighbours, PasswordView, PlayView, Removed, RouteView,
    RoutesView, SessionView, StartedView, Stopping, Unshared,
};
use super::login::Denied;
use super::reach::Reach;
use super::routes::{Call, ROUTES};
use super::serve::NO_LOGIN;
use super::{Setting, guard, metrics, openapi, process, stream, uri};
use crate::app::view::SearchLine;
use crate::app::{
    BrowseRequest, Error, ErrorCode, GetRequest, MagnetRequest, SearchRequest, ShareRequest, SpeedsRequest,
    WatchRequest, doctor,
};
use crate::net::rt;
use crate::transfer::play;

/// Downloads that are started by one call, and ranges of numbers that one asks for.
const MANY: usize = 100;

impl Call {
    /// The body, read as JSON.
    fn json<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body)
            .map_err(|error| Error::new(ErrorCode::Usage, format!("the body is not what this route takes: {error}")))
    }

    /// The `{id}` in the path.
    fn id(&self) -> Result<u64, Error> {
        let text = self.path.first().map_or("", String::as_str);
        text.parse().map_err(|_| Error::new(ErrorCode::Usage, format!("{text:?} is no number")))
    }

    fn follows(&self) -> bool {
        self.query.get("follow").is_some_and(|value| value != "0")
    }
}

pub(super) async fn health(_: Call) -> Result<Answer, Error> {
    Ok(answer::text("ok\n"))
}

pub(super) async fn list(_: Call) -> Result<Answer, Error> {
    let route = |route: &'static super::routes::Route| RouteView {
        method: route.method.as_str().to_owned(),
        path: route.path.to_owned(),
        what: route.what.to_owned(),
    };
    let routes = ROUTES.iter().map(route).collect();
    Ok(answer::value(&RoutesView { version: env!("CARGO_PKG_VERSION").to_owned(), routes }))
}

pub(super) async fn status(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.status().await))
}

pub(super) async fn findings(call: Call) -> Result<Answer, Error> {
    let mut findings = call.context.node.doctor().await;
    let context = Arc::clone(&call.context);
    let ours = rt::spawn_blocking(move || context.reach.finding(context.own, context.node.home())).await;
    findings.extend(doctor::typed(ours.into_iter().collect(), call.context.node.home()));
    Ok(answer::value(&findings))
}

pub(super) async fn config(call: Call) -> Result<Answer, Error> {
    let mut settings = call.context.settings.clone();
    // Kept since the start: nothing that beats it was said then.
    for (name, text) in call.context.node.kept_limits().await {
        let weaker = |setting: &&mut Setting| setting.key == name && matches!(&*setting.origin, "default" | "state");
        if let Some(setting) = settings.iter_mut().find(weaker) {
            setting.value = text.parse::<bool>().map_or_else(|_| text.into(), Into::into);
            setting.origin = "state".into();
        }
    }
    Ok(answer::value(&settings))
}

pub(super) async fn shares(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.shares().await))
}

pub(super) async fn share(call: Call) -> Result<Answer, Error> {
    let request: ShareRequest = call.json()?;
    Ok(answer::with_status(201, &call.context.node.share(request).await?))
}

pub(super) async fn unshare(call: Call) -> Result<Answer, Error> {
    let path = call.query.get("path").filter(|path| !path.is_empty());
    let path = path.ok_or_else(|| Error::new(ErrorCode::Usage, "the path of the folder is missing: ?path="))?;
    call.context.node.unshare(path.into()).await?;
    Ok(answer::value(&Unshared { unshared: path.clone() }))
}

pub(super) async fn peers(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.peers().await))
}

pub(super) async fn connect(call: Call) -> Result<Answer, Error> {
    let Host { host } = call.json()?;
    Ok(answer::with_status(201, &call.context.node.connect(host).await?))
}

pub(super) async fn disconnect(call: Call) -> Result<Answer, Error> {
    let addr = call.path.first().cloned().unwrap_or_default();
    call.context.node.disconnect(addr.clone()).await?;
    Ok(answer::value(&Disconnected { disconnected: addr }))
}

pub(super) async fn set_neighbours(call: Call) -> Result<Answer, Error> {
    let Neighbours { neighbours } = call.json()?;
    call.context.node.set_neighbours(neighbours).await?;
    Ok(answer::value(&Neighbours { neighbours }))
}

pub(super) async fn limits(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.limits()))
}

pub(super) async fn set_limits(call: Call) -> Result<Answer, Error> {
    let change: SpeedsRequest = call.json()?;
    Ok(answer::value(&call.context.node.keep_limits(&change).await?))
}

pub(super) async fn hosts(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.hosts().await))
}

pub(super) async fn import_hosts(call: Call) -> Result<Answer, Error> {
    let Hosts { hosts } = call.json()?;
    Ok(answer::value(&call.context.node.import_hosts(hosts).await))
}

pub(super) async fn searches(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.searches().await))
}

pub(super) async fn search(call: Call) -> Result<Answer, Error> {
    let request: SearchRequest = call.json()?;
    Ok(answer::with_status(201, &call.context.node.search(request).await?))
}

pub(super) async fn browse(call: Call) -> Result<Answer, Error> {
    let request: BrowseRequest = call.json()?;
    Ok(answer::with_status(201, &call.context.node.browse(request).await?))
}

pub(super) async fn search_state(call: Call) -> Result<Answer, Error> {
    let id = call.id()?;
    match call.context.node.searches().await.into_iter().find(|search| search.id == id) {
        Some(search) => Ok(answer::value(&search)),
        None => Err(Error::new(ErrorCode::NotFound, format!("there is no search {id} in this run"))),
    }
}

pub(super) async fn end_search(call: Call) -> Result<Answer, Error> {
    let id = call.id()?;
    call.context.node.end_search(id).await?;
    Ok(answer::value(&Ended { ended: id }))
}

pub(super) async fn hits(call: Call) -> Result<Answer, Error> {
    let mut lines = call.context.node.hits(call.id()?).await?;
    if call.follows() {
        return Ok(answer::lines(lines.take_until(call.context.stopped())));
    }
    let mut hits = Vec::new();
    while let Some(Some(SearchLine::Hit(hit))) = lines.next().now_or_never() {
        hits.push(hit);
    }
    Ok(answer::value(&hits))
}

pub(super) async fn folder(call: Call) -> Result<Answer, Error> {
    let path = call.query.get("path").map_or("", String::as_str);
    Ok(answer::value(&call.context.node.in_folder(path)?))
}

pub(super) async fn watches(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.watches().await))
}

pub(super) async fn watch(call: Call) -> Result<Answer, Error> {
    let request: WatchRequest = call.json()?;
    Ok(answer::with_status(201, &call.context.node.watch(request).await?))
}

pub(super) async fn unwatch(call: Call) -> Result<Answer, Error> {
    let id = call.id()?;
    call.context.node.unwatch(id).await?;
    Ok(answer::value(&Removed { removed: id }))
}

pub(super) async fn watch_hits(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.watch_hits(call.id()?).await?))
}

pub(super) async fn pause_watch(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.pause_watch(call.id()?, true).await?))
}

pub(super) async fn resume_watch(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.pause_watch(call.id()?, false).await?))
}

pub(super) async fn watch_looked_at(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.watch_looked_at(call.id()?).await?))
}

pub(super) async fn transfers(call: Call) -> Result<Answer, Error> {
    let Some(ids) = call.query.get("ids") else {
        return Ok(answer::value(&call.context.node.transfers().await));
    };
    Ok(answer::value(&call.context.node.transfers_of(&numbers(ids)?)))
}

/// `3,7-20`, as ranges.
fn numbers(text: &str) -> Result<Vec<RangeInclusive<u64>>, Error> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    let ranges = text.split(',').map(range).collect::<Option<Vec<_>>>().filter(|ranges| ranges.len() <= MANY);
    ranges.ok_or_else(|| {
        let hint = format!("Say for example ?ids=3,7-20; no more than {MANY} of them");
        Error::new(ErrorCode::Usage, format!("{text:?} are not the numbers of transfers")).hint(hint)
    })
}

pub(super) async fn get_many(call: Call) -> Result<Answer, Error> {
    let requests: Vec<GetRequest> = call.json()?;
    if requests.len() > MANY {
        let message = format!("{} downloads in one call; {MANY} are the most", requests.len());
        return Err(Error::new(ErrorCode::Usage, message).hint("Start them in several calls"));
    }
    let started = join_all(requests.into_iter().map(|request| call.context.node.get(request))).await;
    let views = started.into_iter().map(|started| match started {
        Ok(transfer) => StartedView::Transfer(Box::new(transfer)),
        Err(error) => StartedView::Error(error),
    });
    Ok(answer::value(&views.collect::<Vec<_>>()))
}

pub(super) async fn get(call: Call) -> Result<Answer, Error> {
    let request: GetRequest = call.json()?;
    Ok(answer::with_status(201, &call.context.node.get(request).await?))
}

pub(super) async fn transfer(call: Call) -> Result<Answer, Error> {
    let id = call.id()?;
    if call.follows() {
        let changes = call.context.node.watch_transfer(id).await?;
        return Ok(answer::lines(changes.take_until(call.context.stopped())));
    }
    match call.context.node.transfer(id).await {
        Some(transfer) => Ok(answer::value(&transfer)),
        None => Err(Error::new(ErrorCode::NotFound, format!("there is no transfer {id}"))),
    }
}

pub(super) async fn pause(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.pause(call.id()?).await?))
}

pub(super) async fn resume(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.resume(call.id()?).await?))
}

pub(super) async fn prioritise(call: Call) -> Result<Answer, Error> {
    let Level { priority } = call.json()?;
    Ok(answer::value(&call.context.node.prioritise(call.id()?, &priority).await?))
}

pub(super) async fn cancel(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.cancel(call.id()?).await?))
}

pub(super) async fn retry(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.retry(call.id()?).await?))
}

pub(super) async fn play(call: Call) -> Result<Answer, Error> {
    let id = call.id()?;
    let transfer = call.context.node.expect_player(id).await?;
    let key = call.context.with_keys(|keys| keys.of(call.by).key_of(id));
    // Who asks from elsewhere knows us by the address that he asked.
    let elsewhere = guard::seen_at(&call.headers).filter(|_| call.context.reach != Reach::Machine);
    let at = elsewhere.unwrap_or_else(|| format!("http://{}", call.context.own));
    Ok(answer::value(&PlayView { id, url: format!("{at}/play/{id}/{key}/{}", uri::escape(&transfer.name)) }))
}

pub(super) async fn played(call: Call) -> Result<Answer, Error> {
    file(call, false).await
}

pub(super) async fn played_head(call: Call) -> Result<Answer, Error> {
    file(call, true).await
}

async fn file(call: Call, head_only: bool) -> Result<Answer, Error> {
    let mut player = call.context.node.player(call.id()?)?;
    let facts = player.facts().await?;
    let text = |name| call.headers.get(name).and_then(|value| value.to_str().ok());
    let plan = play::plan(&facts, play::Ask { head_only, range: text(RANGE), if_range: text(IF_RANGE) });
    let bytes = player.bytes(plan.bytes).take_until(call.context.stopped());
    Ok(answer::file(plan.status, &plan.headers, bytes))
}

pub(super) async fn magnet(call: Call) -> Result<Answer, Error> {
    let transfer = call
        .query
        .get("transfer")
        .map(|id| id.parse().map_err(|_| Error::new(ErrorCode::Usage, format!("{id:?} is no number of a transfer"))));
    let what = call.query.get("what").cloned().unwrap_or_default();
    let request = MagnetRequest { what, transfer: transfer.transpose()? };
    // It may look a path up.
    let context = Arc::clone(&call.context);
    let made = rt::spawn_blocking(move || context.node.magnet(&request)).await?;
    Ok(answer::value(&made))
}

pub(super) async fn events(call: Call) -> Result<Answer, Error> {
    let wanted = stream::Snapshots::parse(call.query.get("with").map_or("", String::as_str))?;
    let events = stream::events(Arc::clone(&call.context.node), wanted);
    Ok(answer::events(events.take_until(call.context.stopped())))
}

pub(super) async fn open_session(call: Call) -> Result<Answer, Error> {
    // Who came in by the password gets nothing that outlives it.
    let port = call.context.own.port();
    let cookie = call.context.with_keys(|keys| guard::set_cookie(port, keys.of(call.by), &call.headers));
    Ok(answer::with_cookie(answer::value(&SessionView { session: true }), &cookie))
}

pub(super) async fn login(call: Call) -> Result<Answer, Error> {
    // What is wrong with the body is not told: the words would hold what was typed.
    let Ok(LoginRequest { password }) = serde_json::from_slice(&call.body) else {
        return Err(Error::new(ErrorCode::Usage, "the body is not what this route takes: {password}"));
    };
    let opened = match &call.context.login {
        Some(login) => login.open(call.from, password).await,
        None => Err(Denied::NoPassword),
    };
    match opened {
        Ok(key) => {
            let cookie = guard::set_cookie(call.context.own.port(), &key, &call.headers);
            Ok(answer::with_cookie(answer::value(&SessionView { session: true }), &cookie))
        }
        Err(Denied::NoPassword) => Ok(answer::refusal(NO_LOGIN)),
        Err(Denied::Wrong) => Ok(answer::refusal(WRONG_PASSWORD)),
        Err(Denied::Later(wait)) => Ok(answer::later(wait)),
    }
}

const WRONG_PASSWORD: guard::Refusal =
    (401, "wrong_password", "that is not the password", "`filbert password` sets another one, on its machine.");

pub(super) async fn read_password(call: Call) -> Result<Answer, Error> {
    let changed = Arc::clone(&call.context).read_password().await;
    let opens = call.context.with_keys(|keys| keys.login.is_some());
    Ok(answer::value(&PasswordView { opens, changed }))
}

pub(super) async fn close_session(call: Call) -> Result<Answer, Error> {
    let port = call.context.own.port();
    Ok(answer::with_cookie(answer::value(&SessionView { session: false }), &guard::clear_cookie(port)))
}

pub(super) async fn preview(call: Call) -> Result<Answer, Error> {
    let request: ShareRequest = call.json()?;
    Ok(answer::value(&call.context.node.preview(request).await?))
}

pub(super) async fn folders(call: Call) -> Result<Answer, Error> {
    let path = call.query.get("path").map(std::path::PathBuf::from);
    Ok(answer::value(&call.context.node.folders(path).await?))
}

pub(super) async fn blocks(call: Call) -> Result<Answer, Error> {
    Ok(answer::value(&call.context.node.blocks(call.id()?).await?))
}

pub(super) async fn openapi_document(_: Call) -> Result<Answer, Error> {
    Ok(answer::value(openapi::document()))
}

pub(super) async fn prometheus(call: Call) -> Result<Answer, Error> {
    let node = &call.context.node;
    let (status, peers, transfers) = (node.status().await, node.peers().await, node.transfers().await);
    let shares = node.shares().await;
    let process = rt::spawn_blocking(process::look).await;
    Ok(answer::metrics(metrics::text(&status, &peers, &transfers, &shares, process.as_ref())))
}

pub(super) async fn shutdown(call: Call) -> Result<Answer, Error> {
    call.context.ask_to_stop();
    Ok(answer::with_status(202, &Stopping { stopping: true }))
}
