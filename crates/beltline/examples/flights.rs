//! The flights job of `examples/flights/app.py` in Rust: the same id, topics and tables, so either of the two goes on where
//! the other one stopped.
//!
//! `make demo` loads the flights; `cargo run --release --example flights -- --datadir flights-data worker` works on them.

use beltline::prelude::*;

/// One scheduled departure; a delay is missing where the flight was cancelled.
#[derive(Serialize, Deserialize)]
struct Flight {
    number: i64,
    carrier: String,
    tail: String,
    route: String,
    destination: String,
    day: String,
    delay_minutes: Option<f64>,
}

/// How late one airline was.
#[derive(Default, Serialize, Deserialize)]
struct CarrierDelays {
    flights: u64,
    cancelled: u64,
    late: u64,
    minutes: f64,
    worst_minutes: f64,
}

/// One aircraft through its days.
#[derive(Default, Serialize, Deserialize)]
struct Aircraft {
    legs: u64,
    day: String,
    legs_today: u64,
    most_legs: u64,
    airport: String,
}

const LONG_DELAY_MINUTES: f64 = 180.0;

fn main() -> beltline::Result<()> {
    let mut app = App::new("flights");
    // One partition keeps the whole year in the order of time; the handlers spread it by what they count.
    app.partitions(1);
    let flights = app.topic::<Flight>("flights");
    app.topic::<Flight>("long-delays");
    app.partitions(4);
    let carriers = app.table::<String, CarrierDelays>("carriers");
    let routes = app.table::<String, u64>("routes");
    let aircraft = app.table::<String, Aircraft>("aircraft");

    let by_carrier = "app.count_delays-flights-Flight.carrier-repartition";
    app.on(&flights).by(|flight| &flight.carrier).through(by_carrier).run(move |flight, belt| {
        let mut delays = belt.table(&carriers).entry(&flight.carrier)?;
        delays.flights += 1;
        match flight.delay_minutes {
            None => delays.cancelled += 1,
            Some(minutes) if minutes > 0.0 => {
                delays.late += 1;
                delays.minutes += minutes;
                delays.worst_minutes = delays.worst_minutes.max(minutes);
            }
            Some(_) => {}
        }
        Ok(())
    });

    let by_route = "app.count_routes-flights-Flight.route-repartition";
    app.on(&flights).by(|flight| &flight.route).through(by_route).run(move |flight, belt| {
        *belt.table(&routes).entry(&flight.route)? += 1;
        Ok(())
    });

    app.on(&flights)
        .to("long-delays")
        .map(|flight| flight.delay_minutes.is_some_and(|minutes| minutes >= LONG_DELAY_MINUTES).then_some(flight));

    let by_tail = "app.follow_aircraft-flights-Flight.tail-repartition";
    app.on(&flights).by(|flight| &flight.tail).through(by_tail).run(move |flight, belt| {
        let mut plane = belt.table(&aircraft).entry(&flight.tail)?;
        plane.legs += 1;
        plane.legs_today = if plane.day == flight.day { plane.legs_today + 1 } else { 1 };
        plane.most_legs = plane.most_legs.max(plane.legs_today);
        plane.day = flight.day;
        plane.airport = flight.destination;
        Ok(())
    });

    app.main()
}
