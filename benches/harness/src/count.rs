//! Running paths so that a profiler can count their instructions.

use crate::path::HotPath;

/// Runs each path of one thread `times` times and twice as often, and prints its name after that.
///
/// Under callgrind, which is told to count inside [`fusewire_counted`] alone and to write a part of its profile
/// whenever that returns, each name stands for two parts, and what they differ by is `times` operations: whatever a
/// run costs once is gone. Paths of several threads are left out, because how often one repeats an exchange
/// depends on the others.
pub(crate) fn run<'a>(paths: impl Iterator<Item = &'a HotPath>, times: u64) {
    for path in paths.filter(|path| path.thread_count() == 1) {
        path.run(times);
        fusewire_counted(path, times);
        fusewire_counted(path, times * 2);
        println!("{}", path.name());
    }
}

/// `ci/instructions` knows it by this name.
#[inline(never)]
fn fusewire_counted(path: &HotPath, times: u64) {
    path.run(times);
}
