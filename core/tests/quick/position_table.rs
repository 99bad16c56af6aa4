//! The five cases of a POSITION, live or not, resettable or not: one test per cell.
//!
//! Every cell starts from position 10. See `protocol.md` 4.7; Synapse's cases are in A08.

/// What a POSITION leads to on a source at position 10.
fn outcome(stream: &str, live: bool, position: &str) -> String {
    let lead_in = if live {
        format!(
            "config positions {{\"{stream}\":{{\"w\":0}}}}\nconnect\nPOSITION {stream} w 10 10\npage q1 10:\n"
        )
    } else {
        format!("config positions {{\"{stream}\":{{\"w\":10}}}}\nconnect\n")
    };
    let shown = crate::script::run(&format!("{lead_in}POSITION {stream} w {position}\n"));
    let (_, answers) =
        shown.split_once(&format!("POSITION {stream} w {position}\n")).expect("the input is shown");
    let answers: Vec<_> = answers
        .lines()
        .map(|line| line.trim_start_matches("< ").replace(&format!(" {stream}/w"), ""))
        .collect();
    answers.join("; ")
}

macro_rules! cells {
    ($($name:ident: $stream:literal $live:literal $position:literal => $expected:literal;)*) => {
        $(#[test]
        fn $name() {
            assert_eq!(outcome($stream, $live, $position), $expected);
        })*
    };
}

cells! {
    behind_and_not_live_is_fetched:
        "receipts" false "12 15" => "catching up 10..15; fetch q1 10..15";
    behind_and_live_is_fetched:
        "receipts" true "12 15" => "catching up 10..15; fetch q2 10..15";
    at_prev_and_not_live_advances_and_becomes_live:
        "receipts" false "10 15" => "position 15; live 15";
    at_prev_and_live_advances:
        "receipts" true "10 15" => "position 15";
    inside_and_not_live_advances_and_becomes_live:
        "receipts" false "8 15" => "position 15; live 15";
    inside_and_live_advances:
        "receipts" true "8 15" => "position 15";
    at_new_and_not_live_becomes_live:
        "receipts" false "8 10" => "live 10";
    at_new_and_live_is_nothing:
        "receipts" true "8 10" => "";
    ahead_and_not_live_becomes_live_where_it_stands:
        "receipts" false "4 8" => "live 10";
    ahead_and_live_is_nothing:
        "receipts" true "4 8" => "";

    resettable_behind_and_not_live_starts_over:
        "typing" false "12 15" => "reset 10 to 0; catching up 0..15; fetch q1 0..15";
    resettable_behind_and_live_is_fetched:
        "typing" true "12 15" => "catching up 10..15; fetch q2 10..15";
    resettable_at_prev_and_not_live_starts_over:
        "typing" false "10 15" => "reset 10 to 0; catching up 0..15; fetch q1 0..15";
    resettable_at_prev_and_live_advances:
        "typing" true "10 15" => "position 15";
    resettable_inside_and_not_live_starts_over:
        "typing" false "8 15" => "reset 10 to 0; catching up 0..15; fetch q1 0..15";
    resettable_inside_and_live_advances:
        "typing" true "8 15" => "position 15";
    resettable_at_new_and_not_live_starts_over:
        "typing" false "8 10" => "reset 10 to 0; catching up 0..10; fetch q1 0..10";
    resettable_at_new_and_live_is_nothing:
        "typing" true "8 10" => "";
    resettable_ahead_and_not_live_starts_over:
        "typing" false "4 8" => "reset 10 to 0; catching up 0..8; fetch q1 0..8";
    resettable_ahead_and_live_starts_over:
        "typing" true "4 8" => "reset 10 to 0; catching up 0..8; fetch q2 0..8";
}
