//! Counts words: `cargo run --example word_count -- worker`, and in another terminal, after Ctrl-C,
//! `cargo run --example word_count -- send lines '"to be or not to be"'` and `… -- table counts`.

use beltline::prelude::*;

fn main() -> beltline::Result<()> {
    let mut app = App::new("words");
    let lines = app.topic::<String>("lines");
    let words = app.topic::<String>("words");
    let counts = app.table::<String, u64>("counts");

    let target = words.clone();
    app.on(&lines).run(move |line, belt| {
        for word in line.split_whitespace() {
            belt.send(&target, word, &word.to_owned())?;
        }
        Ok(())
    });
    app.on(&words).run(move |word, belt| {
        *belt.table(&counts).entry(&word)? += 1;
        Ok(())
    });
    app.main()
}
