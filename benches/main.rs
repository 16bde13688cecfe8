//! What recovery costs.
fn main() {
    println!("{}", outrigger::store::Requests::default().total());
}
