//! Counts words on Apache Kafka: `BROKER_URL=kafka://localhost:9092 words_on_kafka worker`, as often as there are to be
//! workers, and in another terminal `words_on_kafka send lines '"to be or not to be"'`, then `words_on_kafka table counts`.

use beltline::prelude::*;

fn main() -> beltline::Result<()> {
    let name = std::env::var("APP_ID").unwrap_or_else(|_| "words".to_owned());
    let mut app = App::new(&*name);
    app.partitions(4).broker(std::env::var("BROKER_URL").unwrap_or_else(|_| "kafka://localhost:9092".to_owned()));
    let lines = app.topic::<String>(format!("{name}-lines"));
    let words = app.topic::<String>(format!("{name}-words"));
    let counts = app.table::<String, u64>("counts");

    let out = words.clone();
    app.on(&lines).run(move |line: String, belt| {
        for word in line.split_whitespace() {
            belt.send(&out, word, &word.to_owned())?;
        }
        Ok(())
    });
    app.on(&words).run(move |word: String, belt| {
        *belt.table(&counts).entry(&word)? += 1;
        Ok(())
    });
    app.main()
}
