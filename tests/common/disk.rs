//! A real disk that fails: ext4 on a loop device, whose image lies on a small file system in memory. When that is full,
//! what the kernel wants to write to the disk is lost; and a copy of the image is what a disk has after the power failed.
//!
//! All of it is mounted in a mount namespace of the test's own, and gone with it.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const INSIDE: &str = "FILBERT_TEST_IN_NAMESPACE";

/// Runs the test of that name once more, in a mount namespace: whether this is it. What it needs is said where it is not there.
pub fn in_namespace(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some_and(|inside| inside == *test) {
        return true;
    }
    let probe = "d=$(mktemp -d) && truncate -s 4M $d/i && mkfs.ext4 -q $d/i && mkdir $d/m && mount -o loop $d/i $d/m && umount $d/m; \
                 r=$?; rm -r $d; exit $r";
    let may = Command::new("unshare").args(["-m", "sh", "-c", probe]).stderr(Stdio::null()).status();
    if !may.is_ok_and(|status| status.success()) {
        println!("SKIPPED: no file system on a loop device can be mounted here (needs root, mkfs.ext4, unshare)");
        return false;
    }
    let this = std::env::current_exe().expect("a test");
    let mut again = Command::new("unshare");
    again.arg("-m").arg(this).args([test, "--exact", "--nocapture"]).env(INSIDE, test);
    let status = again.arg0("unshare").status().expect("started");
    assert!(status.success(), "it failed, in a mount namespace");
    false
}

/// The disk.
pub struct Disk {
    back: PathBuf,
    at: PathBuf,
}

fn sh(script: &str) -> String {
    let done = Command::new("sh").args(["-ec", script]).output().expect("started");
    assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

impl Disk {
    /// One of that many MiB, mounted at `at`; what it lies on has `back`, at a folder of that name in `place`.
    pub fn new(place: &Path, at: &Path, mib: u32, back_mib: u32, journal: bool) -> Self {
        let back = place.join("back");
        let features = if journal { "has_journal" } else { "^has_journal" };
        let (b, a) = (back.display(), at.display());
        sh(&format!(
            "mkdir -p {b} {a}; mount -t tmpfs -o size={back_mib}m none {b}; truncate -s {mib}M {b}/image; \
             mkfs.ext4 -q -O {features} -E lazy_itable_init=0,nodiscard {b}/image"
        ));
        let disk = Self { back, at: at.to_owned() };
        disk.mount();
        disk
    }

    pub fn mount(&self) {
        sh(&format!("mount -o loop {}/image {}", self.back.display(), self.at.display()));
    }

    pub fn unmount(&self) {
        sh(&format!("umount {}", self.at.display()));
    }

    /// What it lies on has only so many KiB left.
    pub fn leave(&self, kib: u64) {
        let b = self.back.display();
        sh(&format!(
            "free=$(df --output=avail -k {b} | tail -1); head -c $(( (free - {kib}) * 1024 )) /dev/zero >{b}/filler"
        ));
    }

    /// It works again.
    pub fn mend(&self) {
        sh(&format!("rm {}/filler", self.back.display()));
    }

    /// Writes that have reached it.
    fn writes(&self) -> String {
        let device = sh(&format!("basename $(findmnt -no SOURCE {})", self.at.display()));
        sh(&format!("awk '{{print $5, $7, $9}}' /sys/block/{device}/stat"))
    }

    /// What is on it at this moment, and what it has when the power comes back. Nobody may write to it meanwhile.
    pub fn remember(&self) {
        let b = self.back.display();
        for _ in 0..100 {
            let before = self.writes();
            sh(&format!("cp --sparse=always {b}/image {b}/remembered"));
            if self.writes() == before {
                return;
            }
        }
        panic!("it is written to all the time");
    }

    /// The power comes back. Nobody may use it.
    pub fn power_on(&self) {
        self.unmount();
        let b = self.back.display();
        sh(&format!("mv {b}/remembered {b}/image"));
        self.mount();
    }
}
