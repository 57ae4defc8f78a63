//! The list of all checks.

/// Makes a test of every check. `$make` is an async function from the check's name to an
/// [`OpenStore`](crate::contract::store::OpenStore), or a [`Broken`](crate::contract::store::Broken).
#[macro_export]
macro_rules! store_contract {
    ($make:path) => {
        $crate::store_contract! { $make:
            a_fresh_shard_starts_before_its_first_commit
            loading_again_from_one_process_changes_nothing
            an_older_epoch_gets_no_fence
            a_grant_is_good_for_one_process
            a_commit_without_a_load_is_fenced
            a_stale_owner_is_fenced_until_it_loads_anew
            a_commit_of_another_epoch_is_fenced
            a_takeover_reads_what_was_recorded_last
            store_time_never_falls
            a_lease_that_is_over_refuses_until_the_next_load
            a_store_belongs_to_one_cluster
            fences_are_checked_together
            an_accepted_message_is_there_after_a_restart
            sequences_are_gapless_and_ordinals_count
            a_message_finished_by_its_commit_leaves_nothing_open
            a_second_outcome_is_rejected
            an_outcome_without_a_message_is_rejected
            a_key_is_accepted_once
            rows_of_other_slots_are_rejected
            nothing_of_a_rejected_commit_is_there
            a_deleted_state_is_gone
            the_last_state_of_an_entity_counts
            unfinished_messages_are_read_in_order_and_in_pages
            unfinished_messages_of_an_entity_are_read_alone
            delayed_messages_are_read_in_the_order_of_their_times
            a_page_of_large_messages_ends_early
            the_mark_hides_what_is_below_it
            another_range_is_not_read
            an_open_row_says_what_a_new_owner_must_know
            an_open_row_is_overwritten_and_removed_by_the_outcome
            a_quarantined_message_is_shown_and_not_run
            a_delayed_message_is_shown_and_read_by_a_takeover
            an_edited_message_keeps_what_was_sent
            a_message_that_is_set_aside_can_be_ended
            keys_are_found_in_the_order_asked
            states_are_found_in_the_order_asked
            messages_are_listed_newest_first
            messages_are_listed_by_state_and_entity
            messages_are_listed_by_type_and_time
            entities_are_listed_in_order
            a_store_says_that_it_takes_writes
            many_committers_get_gapless_sequences
            the_order_of_calls_is_the_order_of_commits
            a_culprit_fails_alone
            nothing_of_the_old_owner_follows_a_takeover
            two_processes_write_side_by_side
            chunks_are_numbered_without_gaps
            a_long_stream_is_read_from_anywhere
            a_page_of_large_chunks_ends_early
            a_chunk_that_stands_is_not_overwritten
            a_gap_before_a_chunk_is_refused
            chunks_too_large_to_be_stored_are_refused_alone
            what_is_past_its_retention_goes_and_no_earlier
            what_is_open_is_never_retired
            retirement_goes_in_small_steps
            commits_go_on_behind_retired_ones
            only_the_owner_retires
            the_age_of_a_shard_never_falls
            open_sends_are_read_as_they_were_made
            open_sends_are_read_in_order_and_in_pages
            a_page_of_large_sends_ends_early
            sends_that_arrived_are_gone
            a_send_that_was_set_aside_is_not_read
            nothing_is_sent_by_a_rejected_commit
            sends_of_others_are_rejected
            sends_of_many_commits_are_in_their_order
            a_journal_is_numbered_in_the_order_of_commits
            a_journal_is_read_from_any_number_on
            nothing_of_a_refused_commit_is_in_a_journal
            a_cleared_journal_keeps_its_numbering
            a_journal_outlives_its_messages_until_it_is_cleared
            of_a_discarded_message_only_the_key_stays
            a_discarded_message_is_whole_while_it_is_open
            the_halves_go_on_where_the_whole_stood
            a_split_that_is_repeated_changes_nothing
            each_half_finds_its_own_of_what_the_whole_left
            the_mark_of_the_whole_is_that_of_its_halves
            a_half_that_was_passed_over_does_not_begin
            the_halves_retire_what_the_whole_kept
            random_histories_read_as_those_of_the_model
        }
    };
    ($make:path: $($check:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() -> Result<(), $crate::contract::store::Broken> {
                let database = $make(stringify!($check)).await?;
                $crate::contract::store::$check(&database).await
            }
        )*
    };
}
