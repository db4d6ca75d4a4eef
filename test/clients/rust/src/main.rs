//! Apache's Rust client for gRPC, unmodified. Topics and groups $PREFIX-* are those of ../programs-grpc/topics.txt. The
//! client has no push consumer, no change of the invisible duration and no recall, and its TLS is not written yet.

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{anyhow, ensure, Context, Result};
use regex::Regex;
use rocketmq::conf::{ClientOption, ProducerOption, SimpleConsumerOption};
use rocketmq::model::common::{FilterExpression, FilterType};
use rocketmq::model::message::{Message, MessageBuilder, MessageView};
use rocketmq::model::transaction::{Transaction, TransactionResolution};
use rocketmq::{Producer, SimpleConsumer};
use tokio::task::JoinSet;

const CASE_LIMIT: Duration = Duration::from_secs(150);

fn topic(name: &str) -> String {
    format!("{}-{name}", env::var("PREFIX").unwrap_or_default())
}

fn group(name: &str) -> String {
    format!("{}-g-{name}", env::var("PREFIX").unwrap_or_default())
}

fn client_option() -> ClientOption {
    let mut option = ClientOption::default();
    option.set_access_url(env::var("GRPC_ENDPOINT").unwrap_or_default());
    option.set_enable_tls(false);
    option.set_timeout(Duration::from_secs(8));
    option.set_long_polling_timeout(Duration::from_secs(10));
    option
}

fn plain(name: &str, body: &str) -> MessageBuilder {
    MessageBuilder::builder()
        .set_topic(topic(name))
        .set_body(body.as_bytes().to_vec())
}

fn built(builder: MessageBuilder) -> Result<impl Message> {
    builder.build().map_err(|error| anyhow!("{error:?}"))
}

fn text(view: &MessageView) -> String {
    String::from_utf8_lossy(view.body()).into_owned()
}

async fn start_producer(name: &str) -> Result<Producer> {
    let mut option = ProducerOption::default();
    option.set_topics(vec![topic(name)]);
    let mut producer = Producer::new(option, client_option())?;
    producer.start().await?;
    Ok(producer)
}

async fn start_consumer(name: &str) -> Result<SimpleConsumer> {
    let mut option = SimpleConsumerOption::default();
    option.set_consumer_group(group(name));
    option.set_topics(vec![topic(name)]);
    let mut consumer = SimpleConsumer::new(option, client_option())?;
    consumer.start().await?;
    Ok(consumer)
}

fn all() -> FilterExpression {
    FilterExpression::new(FilterType::Tag, "*")
}

/// Receives and acknowledges until there are `count`, and looks once more whether there are any others.
async fn drain(
    consumer: &SimpleConsumer,
    name: &str,
    filter: FilterExpression,
    count: usize,
) -> Result<Vec<MessageView>> {
    let mut views = Vec::new();
    for _ in 0..12 {
        let last = views.len() >= count;
        // To this client having found nothing is an error.
        if let Ok(found) = consumer
            .receive_with(topic(name), &filter, 16, Duration::from_secs(20))
            .await
        {
            for view in found {
                consumer.ack(&view).await?;
                views.push(view);
            }
        }
        if last {
            break;
        }
    }
    ensure!(
        views.len() == count,
        "want {count} messages, got {:?}",
        views.iter().map(text).collect::<Vec<_>>()
    );
    Ok(views)
}

fn bodies(views: &[MessageView]) -> BTreeSet<String> {
    views.iter().map(text).collect()
}

fn names(bodies: &[&str]) -> BTreeSet<String> {
    bodies.iter().map(|body| body.to_string()).collect()
}

async fn send() -> Result<()> {
    let producer = start_producer("push").await?;
    let mut ids = BTreeSet::new();
    for i in 0..10 {
        let properties = HashMap::from([("ключ".to_string(), format!("знач {i}"))]);
        let sent = plain("push", &format!("m{i}"))
            .set_tag("täg")
            .set_keys(vec!["k1", "zwei"])
            .set_properties(properties);
        ids.insert(producer.send(built(sent)?).await?.message_id().to_string());
    }
    let consumer = start_consumer("push").await?;
    let views = drain(&consumer, "push", all(), 10).await?;
    let received: BTreeSet<String> = views.iter().map(|view| view.message_id().to_string()).collect();
    ensure!(received == ids, "message ids: sent {ids:?}, received {received:?}");
    for view in &views {
        ensure!(
            view.tag() == Some("täg") && view.keys() == ["k1", "zwei"],
            "tag or keys of {view:?}"
        );
        ensure!(
            view.properties()["ключ"] == format!("знач {}", &text(view)[1..]),
            "property of {view:?}"
        );
        ensure!(view.delivery_attempt() == 1, "attempt of {view:?}");
    }
    Ok(())
}

async fn batch() -> Result<()> {
    let producer = start_producer("send").await?;
    let mut batch = Vec::new();
    for i in 0..8 {
        batch.push(built(plain("send", &format!("b{i}")))?);
    }
    let receipts = producer.batch_send(batch).await?;
    let ids: BTreeSet<_> = receipts
        .iter()
        .map(|receipt| receipt.message_id().to_string())
        .collect();
    ensure!(ids.len() == 8, "8 receipts, got {ids:?}");
    Ok(())
}

async fn large_body() -> Result<()> {
    let producer = start_producer("plain").await?;
    let body: Vec<u8> = (0..1_048_576_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    producer
        .send(built(
            MessageBuilder::builder()
                .set_topic(topic("plain"))
                .set_body(body.clone()),
        )?)
        .await?;
    let consumer = start_consumer("plain").await?;
    let views = drain(&consumer, "plain", all(), 1).await?;
    ensure!(views[0].body() == body, "the body differs");
    Ok(())
}

async fn fifo() -> Result<()> {
    let producer = start_producer("fifo").await?;
    for i in 0..12 {
        let builder = MessageBuilder::fifo_message_builder(topic("fifo"), format!("f{i}").into_bytes(), "g");
        producer.send(built(builder)?).await?;
    }
    let consumer = start_consumer("fifo").await?;
    let views = drain(&consumer, "fifo", all(), 12).await?;
    let order: Vec<String> = views.iter().map(text).collect();
    let wanted: Vec<String> = (0..12).map(|i| format!("f{i}")).collect();
    ensure!(order == wanted, "order {order:?}");
    ensure!(
        views.iter().all(|view| view.message_group() == Some("g")),
        "message group"
    );
    Ok(())
}

async fn tag_filter() -> Result<()> {
    let producer = start_producer("tag").await?;
    for tag in ["a", "b", "c", "ab"] {
        producer.send(built(plain("tag", tag).set_tag(tag))?).await?;
    }
    let consumer = start_consumer("tag").await?;
    let views = drain(&consumer, "tag", FilterExpression::new(FilterType::Tag, "a || c"), 2).await?;
    ensure!(bodies(&views) == names(&["a", "c"]), "messages {:?}", bodies(&views));
    Ok(())
}

async fn sql_filter() -> Result<()> {
    let producer = start_producer("sql").await?;
    for i in 0..8 {
        let properties = HashMap::from([("a".to_string(), i.to_string())]);
        producer
            .send(built(plain("sql", &format!("q{i}")).set_properties(properties))?)
            .await?;
    }
    let consumer = start_consumer("sql").await?;
    let views = drain(&consumer, "sql", FilterExpression::new(FilterType::Sql, "a > 5"), 2).await?;
    ensure!(bodies(&views) == names(&["q6", "q7"]), "messages {:?}", bodies(&views));
    Ok(())
}

fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64)
}

async fn delay() -> Result<()> {
    let producer = start_producer("delay").await?;
    let consumer = start_consumer("delay").await?;
    let due = now_ms() / 1000 + 5;
    let sent = MessageBuilder::delay_message_builder(topic("delay"), b"d".to_vec(), due);
    producer.send(built(sent)?).await?;
    for _ in 0..6 {
        let Ok(views) = consumer
            .receive_with(topic("delay"), &all(), 1, Duration::from_secs(20))
            .await
        else {
            continue;
        };
        let Some(view) = views.first() else { continue };
        let late_ms = now_ms() - due * 1000;
        ensure!(
            text(view) == "d" && late_ms > -1300 && late_ms < 8000,
            "it came {late_ms} ms after its time"
        );
        return Ok(consumer.ack(view).await?);
    }
    Err(anyhow!("the delayed message did not come"))
}

async fn transactional(name: &str) -> Result<Producer> {
    let mut option = ProducerOption::default();
    option.set_topics(vec![topic(name)]);
    let checker = |_: String, view: MessageView| match view.body() {
        b"yes" => TransactionResolution::COMMIT,
        _ => TransactionResolution::ROLLBACK,
    };
    let mut producer = Producer::new_transaction_producer(option, client_option(), Box::new(checker))?;
    producer.start().await?;
    Ok(producer)
}

fn in_transaction(name: &str, body: &str) -> Result<impl Message> {
    built(MessageBuilder::transaction_message_builder(
        topic(name),
        body.as_bytes().to_vec(),
    ))
}

async fn transactions() -> Result<()> {
    let producer = transactional("tx").await?;
    for i in 0..6 {
        let transaction = producer
            .send_transaction_message(in_transaction("tx", &format!("x{i}"))?)
            .await?;
        if i % 2 == 0 {
            transaction.commit().await?;
        } else {
            transaction.rollback().await?;
        }
    }
    let consumer = start_consumer("tx").await?;
    let views = drain(&consumer, "tx", all(), 3).await?;
    ensure!(
        bodies(&views) == names(&["x0", "x2", "x4"]),
        "messages {:?}",
        bodies(&views)
    );
    Ok(())
}

async fn transaction_check() -> Result<()> {
    let producer = transactional("txcheck").await?;
    for body in ["yes", "no"] {
        // Neither committed nor rolled back: the server asks.
        let _ = producer
            .send_transaction_message(in_transaction("txcheck", body)?)
            .await?;
    }
    let consumer = start_consumer("txcheck").await?;
    let views = drain(&consumer, "txcheck", all(), 1).await?;
    ensure!(bodies(&views) == names(&["yes"]), "messages {:?}", bodies(&views));
    Ok(())
}

async fn no_ack_redelivers() -> Result<()> {
    let producer = start_producer("simple").await?;
    producer.send(built(plain("simple", "x"))?).await?;
    let consumer = start_consumer("simple").await?;
    let mut attempts = Vec::new();
    for _ in 0..6 {
        let found = consumer
            .receive_with(topic("simple"), &all(), 1, Duration::from_secs(10))
            .await;
        for view in found.unwrap_or_default() {
            attempts.push(view.delivery_attempt());
            if attempts.len() == 2 {
                consumer.ack(&view).await?;
            }
        }
        if attempts.len() == 2 {
            break;
        }
    }
    ensure!(attempts == [1, 2], "attempts {attempts:?}");
    Ok(())
}

async fn refusals() -> Result<()> {
    let producer = start_producer("send").await?;
    ensure!(
        producer.send(built(plain("nosuch", "x"))?).await.is_err(),
        "an unknown topic was accepted"
    );
    let grouped = MessageBuilder::fifo_message_builder(topic("mismatch"), b"x".to_vec(), "g");
    ensure!(
        producer.send(built(grouped)?).await.is_err(),
        "a FIFO message was accepted by a NORMAL topic"
    );
    Ok(())
}

struct Cases {
    only: Regex,
    running: JoinSet<bool>,
}

impl Cases {
    fn start(&mut self, name: &'static str, case: impl Future<Output = Result<()>> + Send + 'static) {
        if !self.only.is_match(name) {
            return;
        }
        self.running.spawn(async move {
            let outcome = tokio::time::timeout(CASE_LIMIT, case)
                .await
                .context("time limit")
                .and_then(|result| result);
            match &outcome {
                Ok(()) => println!("ok rust-grpc/{name}"),
                Err(error) => {
                    let why = format!("{error:?}").split_whitespace().collect::<Vec<_>>().join(" ");
                    println!("FAIL rust-grpc/{name}: {why}");
                }
            }
            outcome.is_ok()
        });
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let only = env::var("ONLY")
        .ok()
        .filter(|only| !only.is_empty())
        .unwrap_or(".*".into());
    let only = Regex::new(&format!("^(?:{only})$"))?;
    let mut cases = Cases {
        only,
        running: JoinSet::new(),
    };
    cases.start("plain-text", large_body());
    cases.start("send", send());
    cases.start("batch", batch());
    cases.start("fifo", fifo());
    cases.start("tag-filter", tag_filter());
    cases.start("sql92-filter", sql_filter());
    cases.start("delay", delay());
    cases.start("tx-commit-rollback", transactions());
    cases.start("tx-check", transaction_check());
    cases.start("simple-no-ack-redelivers", no_ack_redelivers());
    cases.start("refusals", refusals());
    let mut good = true;
    while let Some(outcome) = cases.running.join_next().await {
        good &= outcome.unwrap_or(false);
    }
    std::process::exit(if good { 0 } else { 1 });
}
