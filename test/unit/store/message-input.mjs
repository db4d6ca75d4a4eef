/** A message as a store takes it; in JavaScript, for processes that are killed run it as well. Whoever needs other fields spreads it. */
const HOST = Buffer.from([127, 0, 0, 1, 0, 0, 0x2a, 0x9f]);
const BORN_TIMESTAMP = 1_795_000_000_000;

export function messageInput(queue, body, properties = Buffer.alloc(0)) {
  return {
    queue,
    flag: 0,
    sysFlag: 0,
    bornTimestamp: BORN_TIMESTAMP,
    bornHost: HOST,
    storeHost: HOST,
    reconsumeTimes: 0,
    preparedTransactionOffset: 0,
    body,
    bodyStart: 0,
    bodyLength: body.length,
    properties,
    propertiesStart: 0,
    propertiesLength: properties.length,
  };
}
