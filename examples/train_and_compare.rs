//! A practitioner trains the same model with plain SGD and with Adam and compares: does the norm follow popularity, and
//! what does that do to what is recommended?
//!
//! ```text
//! cargo run --release --example train_and_compare
//! ```

use perpend::interactions::{GenerateOptions, generate};
use perpend::report::terminal::interval;
use perpend::training::{OptimizerName, TrainOptions, train};

fn main() -> perpend::Result<()> {
    // Zipf popularity, latent preferences; `interactions::load` reads a file of your own instead.
    let dataset = generate(&GenerateOptions::default())?;
    for optimizer in [OptimizerName::Sgd, OptimizerName::Adam] {
        let options = TrainOptions { optimizer, ..TrainOptions::preset("cosine")? };
        let training = train(&dataset, &options, None, &mut |_| {})?;
        let (item, served) = (&training.item, &training.evaluation);
        println!("{}", optimizer.name());
        println!("  Spearman(popularity, ‖q‖)           {}", interval(item.popularity));
        println!("  popular tenth over unpopular half   {:.3}", item.head_over_tail);
        println!("  items that ended longer             {} of {}", item.longer, item.rows);
        for (name, serving) in [("cosine", &served.cosine), ("dot", &served.dot)] {
            println!(
                "  served by {name:6}                    recall@{} {:.4}, mean popularity {:.1}",
                served.cutoff,
                serving.recall.unwrap_or(f64::NAN),
                serving.average_popularity.unwrap_or(f64::NAN),
            );
        }
    }
    Ok(())
}
