//! The scenarios: orders of events in which Synapse, or an earlier design, loses, repeats or mixes
//! rows, each in a text file named after the bug. A file holds inputs and, below each, the actions.
//!
//! `REWRITE=1 cargo test -p synrepl-core --test quick scenarios::` rewrites the actions; review the
//! difference before you commit it.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios")
}

fn check(name: &str) {
    let path = folder().join(format!("{name}.txt"));
    let expected = fs::read_to_string(&path).expect("the scenario file is there");
    let got = crate::script::run(&expected);
    if env::var_os("REWRITE").is_some() {
        fs::write(&path, got).expect("the scenario file can be written");
        return;
    }
    let differs = expected.lines().zip(got.lines()).position(|(left, right)| left != right);
    assert!(
        expected == got,
        "{name} differs from line {:?}; it now gives:\n{got}",
        differs.map(|line| line + 1)
    );
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*

        #[test]
        fn every_scenario_file_is_a_test() {
            let named = BTreeSet::from([$(stringify!($name).to_owned()),*]);
            let files: BTreeSet<_> = fs::read_dir(folder())
                .expect("the folder is there")
                .map(|entry| entry.expect("an entry").path())
                .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
                .collect();
            assert_eq!(named, files);
        }
    };
}

scenarios! {
    a01_rows_that_arrive_during_a_catch_up_wait_for_its_end
    a02_an_announcement_leaves_the_batches_of_other_streams_alone
    a03_a_catch_up_delivers_each_token_by_itself
    a04_a_lost_connection_ends_being_live
    a05_replicate_is_sent_only_after_the_subscription
    a06_old_rows_behind_an_announcement_are_not_repeated
    a06_rows_that_a_fetch_has_brought_are_counted_as_repeated
    a07_a_lower_announcement_resets_a_stream_that_can_reset
    a08_an_announcement_that_says_nothing_new_is_not_fetched
    a09_a_redundant_announcement_still_makes_a_source_live
    a10_a_batch_behind_a_torn_one_is_asked_for_too
    a10_a_batch_ends_with_what_its_writer_says_of_another_stream
    a10_a_batch_is_not_cut_by_a_reset
    a10_a_batch_without_an_end_is_not_mixed_with_the_next
    a10_a_half_batch_dies_with_its_connection
    a10_a_held_announcement_leaves_a_later_batch_alone
    a10_an_announcement_above_a_half_batch_fetches_the_batch
    a10_an_announcement_inside_a_batch_makes_its_rest_a_hole
    a11_a_bad_line_does_not_make_a_source
    a11_a_late_announcement_does_not_close_a_hole
    a11_a_late_announcement_does_not_close_a_hole_below_held_rows
    a11_a_row_that_does_not_parse_is_fetched_and_harms_nothing_else
    a11_a_row_whose_token_does_not_parse_is_asked_for
    a11_an_old_row_does_not_close_a_hole
    a12_rows_of_a_source_that_is_not_live_cost_one_event
    a13_an_empty_answer_moves_the_position
    a14_rows_come_before_the_position_that_covers_them
    a16_a_source_that_starts_above_a_wait_ends_it
    a16_two_may_wait_for_one_position
    a18_a_waiter_is_not_woken_by_another_writer
    a21_a_wait_that_is_never_met_ends_at_its_deadline
    a24_a_page_that_claims_more_than_was_asked_is_not_believed
    a25_a_page_may_hold_more_rows_than_its_target
    a27_a_limited_page_that_does_not_move_is_an_error_not_a_loop
    a38_an_empty_announcement_over_real_rows_cannot_be_seen
    a49_a_stream_that_nobody_uses_still_moves_on
    a50_a_fetch_that_is_not_served_is_tried_until_it_is
    a51_a_fresh_follower_does_not_page_through_history
    a53_a_fetch_may_be_given_up_if_the_application_wants
    a53_a_fetch_that_fails_for_ever_backs_off_and_harms_no_other_source
    a54_a_typing_writer_that_starts_over_is_understood
    a56_connecting_is_tried_for_ever
    a57_the_delay_starts_over_only_after_an_announcement_was_handled
    a59_a_source_far_behind_is_caught_up_in_pages
    a61_one_word_commands_and_blank_lines_harm_nothing
    a63_other_commands_reach_the_application_and_are_sent_for_it
    a64_rows_of_one_stream_say_nothing_of_another
    a64b_a_lower_announcement_of_a_database_stream_is_harmless
    a64c_rows_of_another_version_are_delivered_as_they_are
    audit_a_fetch_that_fails_is_tried_again
    audit_a_look_comes_a_period_after_the_one_before
    audit_a_lost_connection_ends_it_and_the_next_one_goes_on
    audit_a_lost_row_is_found_and_leaves_the_position_alone
    audit_a_page_for_other_tokens_is_refused
    audit_a_page_that_is_too_large_is_asked_for_in_halves
    audit_a_reset_starts_it_over
    audit_a_row_above_an_open_burst_is_not_repeated
    audit_a_row_behind_an_announcement_over_it_is_found
    audit_a_shared_fetch_is_not_compared_with_what_an_earlier_process_had
    audit_a_shared_fetch_shows_what_came_under_another_writer
    audit_a_shutdown_cancels_it
    audit_a_source_that_falls_behind_in_line_catches_up_first
    audit_a_source_that_is_not_live_waits_until_it_is
    audit_a_stream_that_is_written_here_later_is_left_alone_if_its_fetch_is_shared
    audit_a_stream_that_is_written_here_too_is_left_alone_if_its_fetch_is_shared
    audit_a_token_that_no_page_can_hold_is_left_out_with_a_word
    audit_a_user_who_got_more_is_not_taken_for_a_lost_row
    audit_a_whole_lost_batch_comes_together
    audit_all_that_was_to_be_compared_may_be_forgotten_in_line
    audit_an_observer_has_it_too
    audit_backfill_is_asked_for_in_windows
    audit_caches_repeats_nothing_that_it_remembers
    audit_it_gives_way_to_a_catch_up
    audit_more_rows_than_may_be_remembered_are_left_out_with_a_word
    audit_more_tokens_than_one_covers_are_left_out_with_a_word
    audit_one_fetch_is_in_flight_over_all_sources
    audit_one_lost_row_of_a_batch_is_found
    audit_one_that_falls_due_while_disconnected_begins_with_the_next_connection
    audit_rows_forgotten_while_a_page_is_under_way_are_not_repeated
    audit_rows_that_a_catch_up_brought_are_not_repeated
    audit_what_is_forgotten_as_a_cut_token_comes_is_left_out_once
    audit_what_is_merely_late_is_not_asked_for_yet
    audit_what_is_settled_is_not_remembered
    audit_where_nobody_can_be_asked_it_says_so
    bursts_a_batch_that_is_not_whole_raises_the_target
    bursts_a_cut_inside_one_is_filled_from_before_it
    bursts_a_lagging_announcement_after_a_cut_is_not_believed
    bursts_a_row_at_the_position_is_counted_as_repeated
    bursts_a_row_before_the_first_announcement_is_fetched
    bursts_a_writer_that_appears_inside_one_is_fetched
    bursts_a_writer_that_dies_inside_one_leaves_nothing_out
    bursts_a_writer_that_appears_with_a_row_is_asked
    bursts_an_announcement_below_what_was_seen_does_not_close_it
    bursts_an_announcement_inside_one_does_not_close_it
    bursts_an_answer_behind_the_last_row_does_not_hide_the_head
    bursts_an_answer_inside_one_shows_that_its_head_was_missed
    bursts_are_fetched_in_windows
    bursts_one_that_falls_quiet_is_completed_by_a_fetch
    bursts_one_that_does_not_fit_before_the_first_announcement_is_fetched
    bursts_one_that_is_closed_is_forgotten
    bursts_one_that_is_joined_in_the_middle_is_fetched
    bursts_one_that_is_too_large_is_completed_by_a_fetch
    bursts_one_that_is_too_long_is_completed_by_a_fetch
    bursts_one_that_was_closed_costs_no_fetch_on_the_next_connection
    bursts_rows_in_falling_order_are_all_delivered
    bursts_what_overflows_before_the_first_announcement_is_fetched
    bursts_who_joins_inside_one_does_not_trust_what_closes_it
    continuity_a_fetch_begins_at_the_row_that_was_delivered_last
    continuity_a_fetch_that_fails_teaches_nothing
    continuity_a_look_at_an_address_gives_way_to_a_catch_up
    continuity_a_look_without_an_address_is_not_made_again
    continuity_a_purged_stream_is_believed_where_the_address_is_proven
    continuity_a_row_far_below_is_requested_alone
    continuity_a_stream_whose_rows_change_in_place_is_not_contradicted
    continuity_an_address_is_looked_at_with_the_first_row_of_its_instance
    continuity_an_anchor_that_no_page_can_hold_is_passed_over
    continuity_one_other_row_is_asked_for_again
    continuity_rows_that_all_instances_have_are_believed_when_they_are_gone
    continuity_rows_that_are_late_at_the_database_are_found_a_little_later
    continuity_saved_rows_are_compared_after_a_restart
    continuity_three_rows_that_are_not_at_the_address_are_a_warning
    continuity_two_other_rows_under_delivered_tokens_prove_another_log
    f05_rows_under_our_own_name_are_not_delivered
    f07_a_batch_that_is_not_whole_is_evidence_too
    f07_a_fetch_begun_under_an_earlier_connection_does_not_make_live
    f07_a_fetch_that_ends_while_disconnected_leaves_the_source_not_live
    f07_a_long_catch_up_lets_others_through
    f07_a_page_ends_the_failures_in_a_row
    f07_a_source_that_starts_over_in_line_keeps_one_place
    f07_an_announcement_during_an_older_fetch_makes_live_at_its_end
    f07_fetches_wait_in_line
    gaps_rows_that_nobody_can_be_asked_for_are_reported
    gaps_to_device_is_fetched_in_windows
    i13_a_known_stream_is_asked_for_until_the_address_is_right
    i13_a_target_that_the_writer_confirms_is_kept
    i13_a_target_that_the_writer_contradicts_is_lowered
    i13_a_writer_that_does_not_know_the_stream_is_asked_once
    i13_our_own_announcement_is_no_answer
    i13_our_own_rows_in_the_page_of_another_writer_are_left_out
    loose_a_low_row_before_the_announcement_is_delivered
    loose_a_low_row_during_a_fetch_is_delivered
    loose_a_page_that_ignores_its_end_is_taken_as_it_is
    loose_a_repeat_does_not_close_a_hole
    loose_a_row_below_the_position_that_cannot_be_read_is_fetched
    loose_exact_repeats_are_suppressed_and_steps_back_delivered
    oldest_a_bad_row_that_nobody_wants_spoils_no_answer
    oldest_a_lost_connection_fails_the_answer
    oldest_a_lost_connection_in_mid_back_off_asks_when_both_are_over
    oldest_a_row_beyond_the_end_of_an_answer_is_asked_for
    oldest_a_row_of_a_burst_that_does_not_parse_is_asked_for_up_to_its_highest
    oldest_a_row_that_does_not_parse_is_asked_for
    oldest_a_row_that_does_not_parse_before_the_announcement_costs_nothing
    oldest_a_row_whose_stream_does_not_parse_spoils_every_answer
    oldest_a_server_of_a_later_dialect_is_left
    oldest_a_server_that_refuses_is_asked_again_and_given_up_if_wanted
    oldest_a_server_that_refuses_without_a_reason_fails_the_answer
    oldest_a_source_that_nobody_answers_for_is_reported_once
    oldest_a_torn_send_comes_in_the_order_of_the_answer
    oldest_a_stream_that_is_not_there_is_not_the_fault_of_others
    oldest_a_stream_without_epochs_starts_over_and_is_asked_for_from_0
    oldest_an_announcement_that_does_not_parse_costs_the_connection
    oldest_an_answer_may_reach_beyond_what_was_asked_for
    oldest_an_answer_with_nothing_but_a_row_beyond_its_end_is_asked_for_later
    oldest_an_application_cannot_subscribe_by_itself
    oldest_an_error_that_names_no_stream_counts_as_a_failure
    oldest_answers_wait_in_line
    oldest_backfill_is_completed_over_the_connection
    oldest_everything_is_subscribed_to_and_comes_live
    oldest_from_the_beginning_is_from_0
    oldest_late_rows_below_the_announcement_are_not_repeated
    oldest_missed_rows_are_asked_for_only_once_the_stream_is_announced
    oldest_missed_rows_come_over_the_connection
    oldest_nothing_is_asked_for_on_a_connection_that_closes
    oldest_of_an_answer_that_is_too_long_the_lowest_rows_are_taken
    oldest_only_wanted_streams_are_asked_for
    oldest_what_the_server_says_last_is_where_it_stands
    pages_a_token_cut_in_two_is_asked_for_again
    pages_a_token_that_no_page_can_hold_is_reported
    pages_one_that_is_too_large_is_asked_for_in_halves
    pages_one_token_that_is_too_large_is_asked_for_again_later
    pages_two_tokens_that_are_too_large_are_asked_for_one_by_one
    rewound_a_log_that_was_cut_off_is_fetched_from_there
    rewound_a_lower_announcement_is_harmless_where_the_rows_above_are_there
    rewound_nothing_is_concluded_of_a_log_that_has_no_delivered_row
    rewound_other_rows_and_none_that_was_delivered_are_a_gap_from_the_start
    rewound_what_is_received_above_the_position_ends_the_search
    shared_a_row_that_a_fetch_shows_under_another_writer_is_delivered_once
    shared_a_row_that_two_writers_announce_is_delivered_once
    shared_a_token_that_a_page_cuts_is_completed_by_what_comes_live
    shutdown_cancels_each_fetch_once
    shutdown_ends_everything_in_order
    shutdown_while_connecting_ends_with_the_connection
    shutdown_while_not_connected_is_at_once
    start_a_first_row_before_any_announcement_is_fetched_whole
    start_a_first_row_of_a_stream_without_epochs_starts_just_before_it
    start_a_writer_missing_from_saved_positions_starts_at_the_highest_of_them
    start_a_writer_of_a_stream_without_epochs_that_appears_later_starts_at_its_start
    start_a_writer_that_appears_after_a_lost_connection_starts_where_the_stream_stood
    start_a_writer_that_appears_as_settling_ends_starts_where_the_stream_stood
    start_a_writer_that_appears_later_and_lower_starts_where_it_stands
    start_a_writer_that_appears_later_starts_where_the_stream_stood
    start_from_the_beginning_fetches_all_that_is_held
    start_rows_that_were_torn_before_the_first_announcement_are_fetched
    start_saved_positions_are_resumed
    start_writers_that_answer_together_start_where_they_stand
    tcp_a_bad_line_is_a_hole_and_not_the_end
    tcp_a_client_says_its_name_and_asks_once
    tcp_a_line_without_end_costs_the_connection
    tcp_a_quiet_connection_is_kept_alive_by_pings
    tcp_a_server_of_another_homeserver_is_left
    tcp_a_server_that_does_not_say_its_name_is_left
    tcp_a_server_that_falls_silent_is_left_after_its_first_ping
    tcp_a_server_that_never_pings_is_not_timed_out
    tcp_a_shutdown_while_a_faulty_connection_closes_waits_for_it
    tcp_an_error_of_the_server_is_a_warning
    tcp_an_observer_says_no_more_than_its_name
    tcp_an_observer_says_nothing_as_it_leaves
    tcp_anything_that_is_heard_is_a_sign_of_life
    tcp_no_connection_is_made_where_none_is_wanted
    tcp_what_a_client_may_not_say_is_not_sent
    tcp_what_a_server_may_not_say_is_ignored
    tcp_what_the_application_says_is_a_sign_of_life_too
    unclosed_a_batch_does_not_end_the_send_it_is_in
    unclosed_a_cut_inside_one_repeats_nothing
    unclosed_a_fetch_that_ends_before_the_source_is_live_counts
    unclosed_a_late_row_that_cannot_be_read_is_a_gap
    unclosed_a_long_one_is_completed_by_a_fetch
    unclosed_a_lower_row_shows_that_the_send_goes_on
    unclosed_a_page_in_no_order_is_not_believed_to_be_whole
    unclosed_a_position_is_said_once
    unclosed_a_row_that_does_not_parse_is_fetched
    unclosed_a_send_that_does_not_fit_is_fetched_from_the_end_of_the_one_before
    unclosed_a_stall_inside_one_does_not_move_the_position
    unclosed_a_stream_that_starts_over_forgets_its_burst
    unclosed_an_announcement_inside_one_loses_nothing
    unclosed_rows_before_the_announcement_wait_for_it
    unclosed_rows_that_fall_or_repeat_are_all_delivered
    unclosed_the_position_follows_while_rows_go_on_coming
    unclosed_what_is_over_need_not_be_remembered
    wait_a_wait_is_met_by_where_the_source_is_first_seen_to_stand
    wait_for_a_source_that_has_answered_asks_nobody
    wait_one_that_cannot_be_met_any_more_is_not_opened
    wait_only_its_own_source_ends_a_wait_whoever_appeared_first
    x01_a_lost_publish_cannot_be_seen_by_the_follower
    x02_a_source_is_asked_for_soon_though_another_never_answers
    x02_an_observer_asks_nobody
    x02_replicate_is_asked_again_until_every_known_source_answered
    x02_replicate_is_asked_again_while_nobody_answers_at_all
    x02_the_delays_start_over_once_all_have_answered
    x02_who_has_not_answered_is_named
    x03_a_failed_catch_up_is_tried_again_without_a_further_command
    x04_an_announcement_of_another_writer_leaves_a_batch_alone
    x04_batches_of_two_writers_do_not_mix
    x05_each_writer_is_live_by_its_own_evidence
    x06_a_fetch_does_not_outlive_its_connection_in_a_stream_without_epochs
    x06_a_first_fetch_does_not_outlive_its_connection_either
    x06_a_low_row_during_a_fetch_is_asked_about
    x06_a_low_row_that_does_not_parse_is_asked_about
    x06_a_low_row_without_an_announcement_is_asked_about
    x06_a_reset_leaves_a_hole_open_until_a_later_row
    x06_a_reset_during_a_fetch_starts_the_fetch_over
    x06_a_reset_forgets_the_retry_of_the_fetch_before_it
    x06_a_row_at_the_first_announcement_is_of_its_epoch
    x06_a_row_at_the_target_of_a_fetch_is_asked_about
    x06_a_stream_without_epochs_starts_over_at_each_connection
    x06_a_suspicion_does_not_end_with_a_page
    x06_a_suspicion_ends_with_its_connection
    x06_a_suspicion_outlives_a_page
    x06_an_announcement_below_a_held_one_resets
    x06_an_announcement_that_a_fetch_has_passed_is_not_a_reset
    x06_rows_of_an_epoch_that_is_over_do_not_outlive_the_first_announcement
    x06_an_observer_resets_nothing_that_had_no_position
    x06_an_observer_takes_the_next_row_for_an_answer
    x06_further_low_rows_wait_for_the_answer
    x06_rows_held_before_a_reset_are_of_the_old_epoch
    x06_the_rest_of_a_torn_batch_below_the_position_is_asked_about
    x07_rows_beyond_the_end_of_a_page_come_later
    x09_a_batch_of_too_many_bytes_is_fetched
    x09_a_batch_that_a_fetch_covers_leaves_no_hole
    x09_a_batch_without_end_is_fetched
    x09_a_holding_queue_that_overflows_becomes_a_longer_catch_up
    x09_held_rows_have_a_limit_in_bytes_and_give_their_room_back
    x10_an_unknown_stream_is_followed_like_any_other
    x10_one_source_too_many_is_said_once
    x10_streams_that_are_not_wanted_are_dropped_on_arrival
    x10_streams_that_are_not_wanted_take_no_place
}
