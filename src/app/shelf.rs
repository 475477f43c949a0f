//! What we share: the library, and the folders behind it.
//!
//! Requests and queries are answered by look-ups in the library; the way from a file of the library to its
//! bytes leads through the handle of its folder and never through a path that a stranger wrote.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::events::{Bell, Broadcast, lock};
use super::inner::Warnings;
use super::kept::KeptShare;
use super::offline::patterns;
use super::uploads::TREE_LATER;
use super::view::{LeftOutView, ShareView};
use super::{Error, ErrorCode, Options, ShareRequest, offline};
use crate::base::Rng;
use crate::disk::{self, Home, Kept, Shares, Trees, quoted};
use crate::library::{Change, Library, RootId, SharedFile, Stamp};
use crate::net::rt;
use crate::transfer::upload::Tree;
use crate::wire::http::Target;
use crate::wire::{AnyRow, Row, TreeKind, Urn};

/// So many changes are taken in before those who read the library have their turn.
const CHANGES_AT_ONCE: usize = 64;
/// While somebody waits for that, so long is slept, so often at most.
const TURN: Duration = Duration::from_micros(50);
const TURNS: usize = 20;

/// Whether the user was asked about a risky folder, or has said that they mean it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Consent {
    Asked,
    Meant,
}

/// How long a folder stays shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lasting {
    ThisRun,
    Kept,
}

/// A clone is a handle to the same shelf.
#[derive(Clone)]
pub(super) struct Shelf(Arc<Inner>);

struct Inner {
    home: Home,
    library: Arc<RwLock<Library>>,
    /// How many wait to read it.
    waiting: Arc<AtomicUsize>,
    changed: Arc<Changed>,
    folders: Mutex<Folders>,
    /// Patterns of what is not shared of any of them.
    exclude: Mutex<Vec<String>>,
    /// `None` in a servent that shares nothing, and after the end.
    disk: RwLock<Option<Shares>>,
}

#[derive(Default)]
struct Changed {
    happened: AtomicBool,
    bell: Bell,
}

#[derive(Default)]
struct Folders {
    last: u32,
    by_id: BTreeMap<RootId, Folder>,
}

#[derive(Clone)]
struct Folder {
    path: PathBuf,
    exclude: Vec<String>,
    lasting: Lasting,
}

/// What is on the shelf in all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Totals {
    pub(super) files: u64,
    pub(super) bytes: u64,
    pub(super) hashed: u64,
}

impl Shelf {
    /// Nothing shared yet; for a private servent there will never be anything.
    pub(super) fn open(
        options: &Options,
        rng: &mut Rng,
        warnings: &Arc<Warnings>,
        events: &Arc<Broadcast>,
    ) -> Result<Self, Error> {
        let home = &options.home;
        patterns(&options.exclude)?;
        let library = Arc::new(RwLock::new(Library::new(rng)));
        let (changed, waiting): (Arc<Changed>, Arc<AtomicUsize>) = Default::default();
        let disk = (!options.private).then(|| {
            let (library, changed, waiting) = (Arc::clone(&library), Arc::clone(&changed), Arc::clone(&waiting));
            let (warnings, events) = (Arc::clone(warnings), Arc::clone(events));
            let options = disk::ShareOptions { own: home.own(), ..disk::ShareOptions::new(&home.cache) };
            Shares::start_with(
                options,
                Box::new(move |changes| {
                    let mut changes = changes.into_iter().peekable();
                    while changes.peek().is_some() {
                        // Whoever searches meanwhile waits for a few changes, not for all. The lock alone does not
                        // see to that: who lets go of it and takes it again is faster than who was woken.
                        for _ in 0..TURNS {
                            if waiting.load(SeqCst) == 0 {
                                break;
                            }
                            std::thread::park_timeout(TURN);
                        }
                        let mut library = library.write().unwrap_or_else(PoisonError::into_inner);
                        for change in changes.by_ref().take(CHANGES_AT_ONCE) {
                            match change {
                                Change::Warning(message) => warnings.add(message, &events),
                                Change::WarningOver(message) => warnings.is_over(&message),
                                change => {
                                    library.apply(change);
                                }
                            }
                        }
                    }
                    changed.happened.store(true, SeqCst);
                    changed.bell.ring();
                }),
            )
        });
        let folders = Mutex::default();
        let (home, exclude) = (home.clone(), Mutex::new(options.exclude.clone()));
        let disk = RwLock::new(disk);
        Ok(Self(Arc::new(Inner { home, library, waiting, changed, folders, exclude, disk })))
    }

    /// Where our things are.
    pub(super) fn home(&self) -> &Home {
        &self.0.home
    }

    /// Waits until something has changed since the last call.
    pub(super) async fn changed(&self) {
        let Changed { happened, bell } = &*self.0.changed;
        bell.until(|| happened.swap(false, SeqCst).then_some(())).await;
    }

    /// The files that can be found.
    pub(super) fn library(&self) -> RwLockReadGuard<'_, Library> {
        self.0.waiting.fetch_add(1, SeqCst);
        let library = self.0.library.read().unwrap_or_else(PoisonError::into_inner);
        self.0.waiting.fetch_sub(1, SeqCst);
        library
    }

    pub(super) fn totals(&self) -> Totals {
        let library = self.library();
        Totals { files: library.files(), bytes: library.bytes(), hashed: library.hashed() }
    }

    /// Whether a folder is still being listed for the first time.
    pub(super) fn is_scanning(&self) -> bool {
        let ids: Vec<RootId> = lock(&self.0.folders).by_id.keys().copied().collect();
        let disk = self.disk();
        let phase = |id| disk.as_ref().and_then(|disk| disk.state(id)).map(|state| state.phase);
        ids.into_iter().any(|id| phase(id) == Some(disk::Phase::Scanning))
    }

    pub(super) fn views(&self) -> Vec<ShareView> {
        let folders = lock(&self.0.folders).by_id.clone();
        folders.iter().map(|(&id, folder)| self.view(id, folder)).collect()
    }

    fn view(&self, id: RootId, folder: &Folder) -> ShareView {
        let state = self.disk().as_ref().and_then(|disk| disk.state(id)).unwrap_or_default();
        let (files, bytes, hashed) = self.library().totals(id);
        ShareView {
            path: folder.path.clone(),
            files,
            bytes,
            hashed,
            state: state.phase.name().to_owned(),
            this_run_only: folder.lasting == Lasting::ThisRun,
            exclude: folder.exclude.clone(),
            unhashed: state.unhashed,
            unhashed_bytes: state.unhashed_bytes,
            skipped: state.skipped.into_iter().map(|(reason, n)| (reason.to_string(), n)).collect(),
            left_out: state.left_out.into_iter().map(left_out).collect(),
            looks_private: state.looks_private,
            eta_s: state.eta_s,
            warnings: state.warnings,
        }
    }

    /// What sharing a folder would share; refused where that would be.
    pub(super) async fn preview(&self, request: ShareRequest) -> Result<ShareView, Error> {
        let shelf = self.clone();
        rt::spawn_blocking(move || {
            let root = folder_at(&request.path)?;
            offline::may_share(&shelf.0.home, &root, request.i_mean_it)?;
            let exclude = [lock(&shelf.0.exclude).as_slice(), &request.exclude].concat();
            offline::preview(&shelf.0.home, &root, &exclude)
        })
        .await
    }

    /// Shares a folder from now on, without waiting for its files.
    pub(super) async fn share(
        &self,
        path: PathBuf,
        exclude: Vec<String>,
        consent: Consent,
        lasting: Lasting,
    ) -> Result<ShareView, Error> {
        let shelf = self.clone();
        rt::spawn_blocking(move || shelf.add(&path, exclude, consent, lasting)).await
    }

    fn add(&self, path: &Path, exclude: Vec<String>, consent: Consent, lasting: Lasting) -> Result<ShareView, Error> {
        let root = folder_at(path)?;
        let user_home = std::env::var_os("HOME").map(PathBuf::from);
        disk::may_share(&root, &self.0.home, user_home.as_deref(), consent == Consent::Meant)
            .map_err(|refusal| Error::new(ErrorCode::Refused, refusal.to_string()))?;
        self.take_up(KeptShare { path: root, exclude }, lasting)
    }

    /// What is not shared of any folder from now on: all are read anew; what is hashed is known.
    pub(super) async fn set_exclude(&self, general: Vec<String>) -> Result<(), Error> {
        patterns(&general)?;
        let shelf = self.clone();
        rt::spawn_blocking(move || {
            *lock(&shelf.0.exclude) = general;
            let folders = lock(&shelf.0.folders).by_id.clone();
            for (id, folder) in folders {
                let excludes = shelf.patterns_with(&folder.exclude)?;
                if let Some(disk) = shelf.disk().as_ref() {
                    disk.add_without(folder.path, id, &excludes);
                }
            }
            Ok(())
        })
        .await
    }

    /// The patterns of a folder, and those of all.
    fn patterns_with(&self, exclude: &[String]) -> Result<Vec<disk::Pattern>, Error> {
        let general = lock(&self.0.exclude).clone();
        patterns(&[general.as_slice(), exclude].concat())
    }

    /// Takes up a folder that was shared in an earlier run; it need not be there.
    pub(super) async fn again(&self, share: KeptShare) -> Result<ShareView, Error> {
        let shelf = self.clone();
        rt::spawn_blocking(move || shelf.take_up(share, Lasting::Kept)).await
    }

    fn take_up(&self, share: KeptShare, lasting: Lasting) -> Result<ShareView, Error> {
        let KeptShare { path: root, exclude } = share;
        let excludes = self.patterns_with(&exclude)?;
        let (id, folder) = {
            let mut folders = lock(&self.0.folders);
            if let Some((&id, folder)) = folders.by_id.iter_mut().find(|(_, folder)| folder.path == root) {
                if lasting == Lasting::Kept {
                    folder.lasting = Lasting::Kept;
                }
                let others = folder.exclude != exclude && lasting == Lasting::Kept;
                if others {
                    folder.exclude = exclude;
                }
                let folder = folder.clone();
                drop(folders);
                if others && let Some(disk) = self.disk().as_ref() {
                    // It is read anew; what is hashed is known.
                    disk.add_without(root, id, &excludes);
                }
                return Ok(self.view(id, &folder));
            }
            let shared = |other: &&Folder| root.starts_with(&other.path) || other.path.starts_with(&root);
            if let Some(other) = folders.by_id.values().find(shared) {
                let (inner, outer) =
                    if root.starts_with(&other.path) { (&root, &other.path) } else { (&other.path, &root) };
                let message = format!("{} lies in {}", inner.display(), outer.display());
                return Err(Error::new(ErrorCode::Refused, format!("{message}: its files would be shared twice"))
                    .hint(format!("Unshare it first: `filbert unshare {}`", quoted(&other.path))));
            }
            folders.last += 1;
            let (id, folder) = (RootId(folders.last), Folder { path: root, exclude, lasting });
            folders.by_id.insert(id, folder.clone());
            (id, folder)
        };
        match self.disk().as_ref() {
            Some(disk) => disk.add_without(folder.path.clone(), id, &excludes),
            None => return Err(Error::new(ErrorCode::Refused, "a private servent shares nothing")),
        }
        Ok(self.view(id, &folder))
    }

    /// Shares a folder no more.
    pub(super) async fn unshare(&self, path: &Path) -> Result<(), Error> {
        let canonical = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let id = {
            let mut folders = lock(&self.0.folders);
            let is = |folder: &Folder| folder.path == canonical || folder.path == path;
            let id = folders.by_id.iter().find(|(_, folder)| is(folder)).map(|(&id, _)| id);
            folders.by_id.remove(&id.ok_or_else(|| {
                Error::new(ErrorCode::NotFound, format!("{} is not shared", path.display()))
                    .hint("`filbert shares` lists what is")
            })?);
            id
        };
        let shelf = self.clone();
        rt::spawn_blocking(move || {
            if let (Some(disk), Some(id)) = (shelf.disk().as_ref(), id) {
                disk.remove(id);
            }
        })
        .await;
        Ok(())
    }

    /// The folders that stay shared in the next run.
    pub(super) fn lasting(&self) -> Vec<KeptShare> {
        let folders = lock(&self.0.folders);
        let kept = folders.by_id.values().filter(|folder| folder.lasting == Lasting::Kept);
        kept.map(|folder| KeptShare { path: folder.path.clone(), exclude: folder.exclude.clone() }).collect()
    }

    /// The file that a request means.
    pub(super) fn find(&self, target: &Target) -> Option<Arc<SharedFile>> {
        match target {
            Target::ByUrn(urn) => self.library().by_urn(urn).map(Arc::new),
            // The name in the target is decoration: the index says which.
            Target::ByIndex(index, _) => self.library().by_index(*index).map(Arc::new),
            Target::Tree(..) | Target::PushProxy(_) | Target::Browse | Target::Unknown => None,
        }
    }

    /// Opens a shared file beneath its folder, or not at all. Blocks.
    pub(super) fn open_file(&self, root: RootId, path: &Path) -> io::Result<(File, Stamp)> {
        match self.disk().as_ref() {
            Some(disk) => disk.open(root, path),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// The row of one of a shared file's trees; it is computed when it is not kept. Blocks.
    pub(super) fn tree(&self, file: &Arc<SharedFile>, kind: TreeKind) -> Tree {
        let disk = self.disk();
        let (Some(disk), Some(digests)) = (disk.as_ref(), file.digests) else { return Tree::Nothing };
        let trees = disk.trees();
        match kind {
            TreeKind::Tiger => self.row(&trees.tiger, digests.tth, file, AnyRow::Tiger),
            TreeKind::Blake3 => self.row(&trees.blake3, digests.blake3, file, AnyRow::Blake3),
        }
    }

    fn row<N: Kept>(
        &self,
        trees: &Arc<Trees<N>>,
        root: N,
        file: &Arc<SharedFile>,
        row: impl FnOnce(Arc<Row<N>>) -> AnyRow,
    ) -> Tree {
        let size = file.stamp.size;
        if let Some(found) = trees.row(&root, size) {
            return Tree::Row(row(Arc::new(found)));
        }
        let (shelf, file) = (self.clone(), Arc::clone(file));
        let open = Box::new(move || shelf.open_file(file.root, &file.path).map(|(file, _)| file));
        if trees.want(root, size, open) { Tree::Later(TREE_LATER) } else { Tree::Nothing }
    }

    /// Where a file of that content lies.
    pub(super) fn path_of(&self, urn: &Urn) -> Option<PathBuf> {
        let file = self.library().by_urn(urn)?;
        let folders = lock(&self.0.folders);
        Some(folders.by_id.get(&file.root)?.path.join(&file.path))
    }

    /// The shared file at that path, if it is one. Blocks for as long as it takes to look a path up.
    pub(super) fn by_path(&self, path: &Path) -> Option<SharedFile> {
        // Folders are known by their true paths.
        let path = path.canonicalize().ok()?;
        let within = {
            let folders = lock(&self.0.folders);
            let within = folders.by_id.iter().filter_map(|(id, folder)| {
                let inner = path.strip_prefix(&folder.path).ok()?;
                Some((*id, inner.to_owned()))
            });
            within.collect::<Vec<_>>()
        };
        within.into_iter().find_map(|(root, inner)| self.library().by_path(root, &inner))
    }

    /// Stops watching and hashing.
    pub(super) async fn shutdown(&self) {
        let disk = self.0.disk.write().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(disk) = disk {
            rt::spawn_blocking(move || disk.stop()).await;
        }
    }

    fn disk(&self) -> RwLockReadGuard<'_, Option<Shares>> {
        self.0.disk.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn left_out(left_out: disk::LeftOut) -> LeftOutView {
    let disk::LeftOut { path, reason, why } = left_out;
    LeftOutView { path: path.to_string_lossy().into_owned(), reason: reason.to_string(), why }
}

/// The folder that somebody named, as the system knows it.
fn folder_at(path: &Path) -> Result<PathBuf, Error> {
    let failed = |code, why: &dyn std::fmt::Display| {
        Error::new(code, format!("cannot share {}: {why}", path.display())).hint("Name a folder that is there")
    };
    let root = path.canonicalize().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed(ErrorCode::NotFound, &"there is no such folder"),
        _ => failed(ErrorCode::Failed, &error),
    })?;
    if root.is_dir() { Ok(root) } else { Err(failed(ErrorCode::Usage, &"it is not a folder")) }
}
