//! Which faults take an upstream out, and what brings it back.

use super::*;

fn upstream(uid: u32) -> Upstream {
    Upstream::new(uid, SocketAddr::from(([192, 0, 2, 1], 53)))
}

#[test]
fn three_silences_in_a_row_take_it_out_and_an_answer_between_them_does_not() {
    let mut u = upstream(0);
    assert!(!u.failed(Fault::Silent, 0));
    assert!(!u.failed(Fault::Silent, 0));
    u.answered(1000, SECOND);
    assert_eq!(u.state, State::Up);
    assert!(!u.failed(Fault::Silent, 0));
    assert!(!u.failed(Fault::Silent, 0));
    assert_eq!(u.state, State::Suspect(Fault::Silent));
    assert!(u.failed(Fault::Silent, 0));
    assert_eq!(u.state, State::Down(Fault::Silent));
}

#[test]
fn a_slow_answer_does_not_bring_it_back_and_a_timely_one_does() {
    let mut u = upstream(0);
    for _ in 0..3 {
        u.failed(Fault::Silent, 0);
    }
    u.answered(2 * SECOND, SECOND);
    assert!(!u.is_usable());
    u.answered(SECOND / 2, SECOND);
    assert_eq!(u.state, State::Up);
}

#[test]
fn what_fits_no_question_names_a_silence_and_is_no_fault_by_itself() {
    let mut u = upstream(0);
    for now in 0..100 {
        u.unfit(now);
    }
    assert_eq!(u.state, State::Up);
    u.unanswered(false, 0, 200, SECOND);
    assert_eq!(u.state, State::Suspect(Fault::Silent));
    u.unfit(SECOND + 7);
    u.unanswered(false, 0, SECOND, 2 * SECOND);
    assert_eq!(u.state, State::Suspect(Fault::Lying));
    u.asked_by_us(0);
    u.look(SECOND, 2 * SECOND);
    assert!(u.unanswered(true, 0, SECOND, 2 * SECOND));
    assert_eq!((u.state, u.timeouts), (State::Down(Fault::Lying), 3));
}

#[test]
fn silences_of_what_clients_ask_take_it_out_where_what_the_worker_asks_is_not_answered_either() {
    let mut u = upstream(0);
    for _ in 0..10 {
        assert!(!u.unanswered(false, 7, 0, SECOND));
        assert!(u.is_doubted());
        u.asked_by_us(SECOND);
        u.vouched(1000, SECOND);
        assert_eq!(u.state, State::Up);
        u.look(SECOND, 9 * SECOND);
        assert!(!u.unvouched, "nothing is open");
    }
    u.asked_by_us(SECOND);
    let mut mute = u.clone();
    mute.look(SECOND, 2 * SECOND - 1);
    assert!(!mute.clone().unanswered(true, 7, 0, SECOND), "asked again");
    assert!(!mute.unvouched);
    mute.look(SECOND, 2 * SECOND);
    assert!(mute.unanswered(false, 7, 2 * SECOND, 3 * SECOND), "it does not vouch for itself any more");
    assert!((0..100).all(|_| !u.unanswered(false, 7, 0, SECOND)), "one dead zone");
    u.answered(1000, SECOND);
    assert!((0..u64::from(SILENCES) - 1).all(|domain| !u.unanswered(false, domain, 0, SECOND)));
    assert!(u.unanswered(false, 7, 0, SECOND), "too many, of many domains");
}

#[test]
fn what_it_refuses_to_clients_takes_it_out_only_where_it_refuses_the_worker_too() {
    let mut u = upstream(0);
    for _ in 0..100 {
        u.was_unwilling(1000, SECOND);
    }
    assert_eq!(u.state, State::Up);
    assert!(u.is_doubted());
    u.vouched(1000, SECOND);
    assert!(!u.is_doubted());
    for _ in 0..2 {
        assert!(!u.refused_us(SECOND));
    }
    assert_eq!(u.state, State::Suspect(Fault::Refusing));
    u.answered(1000, SECOND);
    assert!(!u.refused_us(SECOND) && !u.refused_us(SECOND), "it served somebody meanwhile");
    u.was_unwilling(1000, SECOND);
    assert!(u.refused_us(2 * SECOND));
    assert_eq!(u.state, State::Down(Fault::Refusing));
    u.was_unwilling(1000, SECOND);
    assert_eq!(u.state, State::Down(Fault::Refusing), "another refusal brings none back");
    assert!(!u.wants_probe(2 * SECOND) && u.wants_probe(3 * SECOND));
}

#[test]
fn tcp_is_closed_after_three_questions_of_the_workers_own_and_open_with_the_first_answer() {
    let mut u = upstream(0);
    let mut now = 0;
    u.answered(1000, SECOND);
    assert!(!u.wants_tcp(now));
    for _ in 0..TCP_FAULTS {
        assert!(!u.is_tcp_closed());
        now += TCP_OFTEN;
        assert!(u.wants_tcp(now));
        u.asked_by_us_over_tcp(now);
        assert!(!u.wants_tcp(now + 1), "one at a time");
        u.look_over_tcp(SECOND, now + SECOND - 1);
        u.look_over_tcp(SECOND, now + SECOND);
        now += SECOND;
    }
    assert!(u.is_tcp_closed());
    assert_eq!(u.state, State::Up);
    let mut down = u.clone();
    down.state = State::Down(Fault::Silent);
    assert!(!down.is_tcp_closed() && !down.wants_tcp(now + TCP_OFTEN), "then that is what there is to say");
    u.spoke_over_tcp(now);
    assert!(!u.is_tcp_closed() && !u.wants_tcp(now + TCP_RARELY - 1) && u.wants_tcp(now + TCP_RARELY));
}

/// What it says to `count` questions, one a millisecond; `failed`: the domain of the one of that number.
fn says(u: &mut Upstream, count: u64, failed: impl Fn(u64) -> Option<u64>) {
    (0..count).for_each(|number| u.said(failed(number), number * 1000));
}

#[test]
fn one_that_fails_most_names_of_many_domains_fails_and_a_broken_zone_makes_none_fail() {
    let mut u = upstream(0);
    says(&mut u, 300, |number| (number % 2 == 0).then_some(number));
    assert!(!u.failing, "half");
    says(&mut u, 300, |_| Some(7));
    assert!(!u.failing, "one domain");
    says(&mut u, 99, Some);
    assert!(!u.failing);
    says(&mut u, 1, Some);
    assert!(u.failing);
    assert_eq!(u.state, State::Up, "it is asked all the same");
    says(&mut u, 99, |_| None);
    assert!(u.failing);
    says(&mut u, 1, |_| None);
    assert!(!u.failing);
}

#[test]
fn where_little_is_asked_it_is_judged_every_half_minute() {
    let mut u = upstream(0);
    says(&mut u, 10, Some);
    u.judge(TIME_JUDGED - 1);
    assert!(!u.failing);
    u.judge(TIME_JUDGED);
    assert!(u.failing);
    u.judge(3 * TIME_JUDGED);
    assert!(u.failing, "it said nothing since");
    u.said(None, 3 * TIME_JUDGED);
    u.judge(4 * TIME_JUDGED - 1);
    assert!(u.failing);
    u.judge(4 * TIME_JUDGED);
    assert!(!u.failing);
}

#[test]
fn of_one_that_is_down_the_reason_is_the_one_by_now() {
    let mut u = upstream(0);
    for _ in 0..3 {
        u.failed(Fault::Silent, 0);
    }
    u.failed(Fault::NotListening, 10 * SECOND);
    u.unanswered(false, 0, 9 * SECOND, 11 * SECOND);
    assert_eq!(u.state, State::Down(Fault::NotListening), "the question whose refusal was seen is no silence");
    u.unanswered(false, 0, 12 * SECOND, 13 * SECOND);
    assert_eq!(u.state, State::Down(Fault::Silent));
    u.refused_us(14 * SECOND);
    assert_eq!(u.state, State::Down(Fault::Refusing));
}

#[test]
fn where_no_query_comes_to_probe_with_it_lacks_them() {
    let mut u = upstream(0);
    u.failed(Fault::Unreachable, 0);
    u.failed(Fault::Unreachable, 0);
    assert!(!u.lacks_probes(8 * SECOND));
    assert!(u.lacks_probes(9 * SECOND));
    assert!(u.take_probe(9 * SECOND));
    assert!(!u.lacks_probes(18 * SECOND));
    u.answered(1000, SECOND);
    assert!(!u.lacks_probes(60 * SECOND));
}

#[test]
fn probes_come_ever_more_rarely() {
    let mut u = upstream(0);
    for _ in 0..3 {
        u.refused_us(0);
    }
    let probes: Vec<u64> = (0..60 * 10).map(|tenth| tenth * SECOND / 10).filter(|&now| u.take_probe(now)).collect();
    assert_eq!(probes[..4], [1, 3, 7, 15].map(|s| s * SECOND));
    assert_eq!(probes.len(), 9);
}

#[test]
fn the_first_usable_one_is_asked_then_the_others_then_the_first_again() {
    let mut all = vec![upstream(10), upstream(11), upstream(12)];
    assert_eq!(choose(&all, |_| false), Some(0));
    all[0].state = State::Down(Fault::Silent);
    assert_eq!(choose(&all, |_| false), Some(1));
    assert_eq!(choose(&all, |uid| uid == 11), Some(2));
    assert_eq!(choose(&all, |uid| uid >= 11), Some(0));
    assert_eq!(choose(&all, |_| true), Some(1));
    assert_eq!(choose(&[], |_| false), None);
}
