//! The shop of the README's first page.

use beltline::prelude::*;

#[derive(Serialize, Deserialize)]
struct Order {
    customer: String,
    amount: f64,
}

fn main() -> beltline::Result<()> {
    let mut app = App::new("shop");
    let orders = app.topic::<Order>("orders");
    let spent = app.table::<String, f64>("spent");

    app.on(&orders).by(|order| &order.customer).run(move |order, belt| {
        *belt.table(&spent).entry(&order.customer)? += order.amount;
        Ok(())
    });
    app.on(&orders).to("big-orders").map(|order| (order.amount > 1000.0).then_some(order));

    app.main()
}
