//! Threads with a fixed division of labour: the same settings give the same numbers, whatever the threads' pace.

use std::ops::Range;

use rayon::{ThreadPool, ThreadPoolBuilder};

/// The calling thread and `threads − 1` helpers.
pub(super) struct Team {
    helpers: Option<ThreadPool>,
    threads: usize,
}

impl Team {
    /// A team of at least one.
    ///
    /// # Errors
    /// If the system refuses the threads.
    pub(super) fn new(threads: usize) -> Result<Self, String> {
        let helpers = match threads {
            0 | 1 => None,
            _ => Some(ThreadPoolBuilder::new().num_threads(threads - 1).build().map_err(|error| error.to_string())?),
        };
        Ok(Team { helpers, threads: threads.max(1) })
    }

    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// `count` things divided evenly: at most one share a thread, none empty.
    pub(super) fn shares(&self, count: usize) -> Vec<Range<usize>> {
        let shares = self.threads.min(count);
        (0..shares).map(|k| count * k / shares..count * (k + 1) / shares).collect()
    }

    /// Does all jobs at the same time, the last one on the calling thread.
    pub(super) fn each<J: Send>(&self, jobs: &mut [J], work: impl Fn(&mut J) + Sync) {
        match (&self.helpers, jobs) {
            (Some(helpers), [others @ .., own]) if !others.is_empty() => helpers.in_place_scope(|scope| {
                let work = &work;
                for job in others {
                    scope.spawn(move |_| work(job));
                }
                work(own);
            }),
            (_, jobs) => jobs.iter_mut().for_each(work),
        }
    }
}

/// Cuts a slice into pieces of the given lengths.
pub(super) fn split<T>(mut values: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    lengths
        .map(|length| values.split_off_mut(..length).expect("the pieces fit into the slice"))
        .collect()
}
