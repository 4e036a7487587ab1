use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::refusal::told;
use super::*;
use crate::record::{CounterGroup, Counters};

const NONE: &str = "the machine, or its hypervisor, has no such counter";

/// A thread of which every event counted `value`, for `running` of 10 µs.
fn thread(value: u64, running: u64) -> Counts {
    let counted = Counted { value, enabled: 10_000, running };
    Counts(Event::ALL.into_iter().map(|event| (event, Ok(counted))).collect())
}

#[test]
fn every_event_is_in_one_group_and_has_a_name_of_its_own() {
    let listed: Vec<Event> =
        Group::ALL.into_iter().flat_map(|group| group.events().iter().copied()).collect();
    assert_eq!(listed, Event::ALL);
    let names: BTreeSet<&str> = Event::ALL.into_iter().map(Event::name).collect();
    assert_eq!(names.len(), Event::ALL.len());
    for group in Group::ALL {
        assert!(group.events().iter().all(|event| event.group() == group), "{}", group.name());
    }
}

#[test]
fn counts_of_threads_are_scaled_each_by_itself_added_and_divided() {
    // 100 in full, and 60 in a quarter of the time: 340.
    let counters = per_operation(&[thread(100, 10_000), thread(60, 2_500)], 200);
    for event in Event::ALL {
        assert_eq!(counters.per_op(event), Some(1.7), "{event:?}");
    }
    assert_eq!(counters.ipc(), Some(1.0));
    for group in Group::ALL {
        let group = counters.group(group);
        assert_eq!((group.scaling, &group.unavailable), (Some(4.0), &None));
    }
    let alone = per_operation(&[thread(100, 10_000)], 8);
    assert_eq!((alone.per_op(Event::PageFaults), alone.cache.scaling), (Some(12.5), Some(1.0)));
}

#[test]
fn a_thread_that_did_not_run_adds_nothing() {
    let idle = Counted { value: 0, enabled: 0, running: 0 };
    let idle = Counts(Event::ALL.into_iter().map(|event| (event, Ok(idle))).collect());
    let counters = per_operation(&[thread(100, 10_000), idle], 100);
    assert_eq!((counters.per_op(Event::Cycles), counters.core.scaling), (Some(1.0), Some(1.0)));
}

#[test]
fn a_sum_that_would_lack_a_thread_is_none() {
    let never = per_operation(&[thread(100, 10_000), thread(0, 0)], 100);
    assert_eq!((never.per_op(Event::Cycles), never.ipc(), never.core.scaling), (None, None, None));
    assert!(never.core.unavailable.is_some_and(|why| why.contains("no turn")));

    let mut poor = thread(100, 10_000);
    poor.0.insert(Event::LlcReadMisses, Err(NONE.into()));
    let counters = per_operation(&[thread(100, 10_000), poor], 100);
    assert_eq!(counters.per_op(Event::LlcReadMisses), None);
    assert_eq!(counters.cache.per_op["llc_read_misses"], None, "named in the document, as null");
    assert_eq!(counters.per_op(Event::L1dReadMisses), Some(2.0));
    assert_eq!(counters.cache.unavailable, Some(format!("llc_read_misses: {NONE}")));
    assert_eq!(counters.core.unavailable, None);
}

#[test]
fn no_operation_and_no_thread_are_no_numbers() {
    let counters = per_operation(&[thread(100, 10_000)], 0);
    assert_eq!((counters.per_op(Event::Cycles), counters.core.scaling), (None, None));
    assert_eq!(counters.core.unavailable.as_deref(), Some("no operation finished in the window"));
    let counters = per_operation(&[], 100);
    assert_eq!(counters.software.unavailable.as_deref(), Some("no thread was counted"));
}

#[test]
fn reasons_are_told_once() {
    let refused = |event: Event, why: Option<&str>| (event, why.map(str::to_owned));
    let (a, b, c) = (Event::Cycles, Event::Instructions, Event::BranchMisses);
    assert_eq!(reasons(&[refused(a, None), refused(b, None)]), None);
    assert_eq!(reasons(&[refused(a, Some("x")), refused(b, Some("x"))]), Some("x".into()));
    assert_eq!(
        reasons(&[refused(a, Some("x")), refused(b, Some("y")), refused(c, Some("x"))]),
        Some("cycles, branch_misses: x; instructions: y".into())
    );
}

#[test]
fn each_error_of_the_system_is_told_with_its_cure() {
    let of = |event, errno| told(event, &io::Error::from_raw_os_error(errno), Some("2"));
    for errno in [libc::ENOENT, libc::ENODEV, libc::EOPNOTSUPP] {
        assert_eq!(of(Event::Cycles, errno), NONE);
    }
    for (errno, part) in [
        (libc::ENOSYS, "no perf events"),
        (libc::EINVAL, "does not take"),
        (libc::EBUSY, "another program"),
        (libc::EMFILE, "ulimit -n"),
        (libc::EIO, "the system answers: "),
    ] {
        let text = of(Event::Cycles, errno);
        assert!(text.contains(part), "{errno}: {text}");
    }
}

#[test]
fn a_prohibition_names_the_level_and_the_one_that_allows_it() {
    for errno in [libc::EACCES, libc::EPERM] {
        let error = io::Error::from_raw_os_error(errno);
        assert_eq!(
            told(Event::Cycles, &error, Some("4")),
            "forbidden: /proc/sys/kernel/perf_event_paranoid is 4; 2 or less (sysctl kernel.perf_event_paranoid=2) or \
             CAP_PERFMON allows it"
        );
        assert_eq!(
            told(Event::ContextSwitches, &error, Some("2")),
            "forbidden: /proc/sys/kernel/perf_event_paranoid is 2; 1 or less (sysctl kernel.perf_event_paranoid=1) or \
             CAP_PERFMON allows it"
        );
        let within = told(Event::Cycles, &error, Some("-1"));
        assert!(within.contains("is -1: a container") && within.contains("seccomp"), "{within}");
        let unseen = told(Event::Cycles, &error, None);
        assert!(unseen.contains("perf_event_paranoid is not visible; 2 or less"), "{unseen}");
    }
}

#[test]
fn documents_keep_what_was_counted_and_rows_without_counters_have_none() {
    let mut poor = thread(7, 5_000);
    for event in Group::Core.events() {
        poor.0.insert(*event, Err(NONE.into()));
    }
    let counters = per_operation(&[poor], 3);
    let text = serde_json::to_string(&counters).expect("serialisable");
    assert!(
        text.contains(r#""core":{"per_op":{"branch_misses":null,"cycles":null,"instructions":null}"#),
        "{text}"
    );
    assert_eq!(serde_json::from_str::<Counters>(&text).expect("readable"), counters);
    // Of a program that counted less.
    let less: Counters =
        serde_json::from_str(r#"{"core":{"per_op":{"cycles":2.0},"scaling":1.0}}"#).expect("readable");
    assert_eq!((less.per_op(Event::Cycles), less.per_op(Event::Instructions)), (Some(2.0), None));
    assert_eq!(less.software, CounterGroup::default());
}

/// What the counters of this thread say of `work`, with `before` ahead of the window.
fn counted(before: impl FnOnce(), work: impl FnOnce()) -> BTreeMap<Event, Result<Counted, Reason>> {
    let mut counting = Counting::open();
    let refused: Vec<Option<Reason>> =
        Event::ALL.into_iter().map(|event| counting.refused(event).cloned()).collect();
    before();
    counting.start();
    work();
    counting.stop();
    let Counts(counts) = counting.read();
    assert_eq!(counts.keys().copied().collect::<Vec<_>>(), Event::ALL);
    for (event, refused) in Event::ALL.into_iter().zip(refused) {
        match (&counts[&event], refused) {
            (Err(reason), Some(refused)) => assert_eq!(reason, &refused),
            (Err(reason), None) => panic!("{event:?} was opened and not read: {reason}"),
            (Ok(_), refused) => assert_eq!(refused, None, "{event:?}"),
        }
        assert!(counts[&event].as_ref().err().is_none_or(|reason| !reason.is_empty()), "{event:?}");
    }
    counts
}

fn compute(time: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < time {
        std::hint::black_box((0..1_000_u64).sum::<u64>());
    }
}

#[test]
fn the_kernel_counts_the_time_of_a_thread_or_there_is_a_reason() {
    let counts = counted(|| (), || compute(Duration::from_millis(5)));
    match &counts[&Event::TaskClock] {
        Ok(counted) => assert!(counted.value > 0 && counted.enabled >= counted.running, "{counted:?}"),
        Err(reason) => assert!(!reason.is_empty()),
    }
    // Where the CPU has counters, the same work shows on them.
    if let Ok(counted @ Counted { running: 1.., .. }) = &counts[&Event::Instructions] {
        assert!(counted.value > 1_000, "{counted:?}");
    }
}

/// They happen in the kernel: a counter of user space alone would have none of them.
#[test]
fn switches_are_those_of_the_window_alone() {
    let naps = |count: usize| move || (0..count).for_each(|_| sleep(Duration::from_micros(100)));
    let counts = counted(naps(200), naps(5));
    match &counts[&Event::ContextSwitches] {
        Ok(counted) => assert!((5..200).contains(&counted.value), "{counted:?}"),
        Err(reason) => assert!(!reason.is_empty()),
    }
}

#[test]
fn counters_that_are_closed_leave_no_descriptor() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    let first = survey();
    let before = descriptors();
    for _ in 0..50 {
        assert_eq!(survey(), first, "the same answer each time");
    }
    let after = descriptors();
    // Other tests have files open meanwhile.
    assert!(after < before + 50, "{before} descriptors, then {after}");
}

#[test]
fn nothing_is_opened_that_was_not_asked_for() {
    assert_eq!((open_if(false).len(), open_if(true).len()), (0, 1));
}
