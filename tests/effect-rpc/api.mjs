// The procedures as a TypeScript program would declare them, and what is expected of them. The
// argument holds the parts of one generation of the library.

export const declare = ({ Rpc, RpcGroup, Schema, union, optional }) => {
  const tagged = (tag) => Schema.Struct({ _tag: Schema.Literal(tag), message: Schema.String });
  const graph = Schema.Struct({
    requestId: Schema.String,
    ontologyId: Schema.String,
    entities: Schema.Array(
      Schema.Struct({ id: Schema.String, type: Schema.String, name: Schema.String }),
    ),
  });
  const options = Schema.Struct({
    maxTokens: optional(Schema.Number),
    temperature: optional(Schema.Number),
  });
  const payload = Schema.Struct({
    text: Schema.String,
    ontologyId: Schema.String,
    options: optional(options),
  });
  const event = union([
    Schema.Struct({ type: Schema.Literal("started"), requestId: Schema.String }),
    Schema.Struct({
      type: Schema.Literal("progress"),
      stage: Schema.String,
      percent: Schema.Number,
    }),
    Schema.Struct({ type: Schema.Literal("complete"), result: graph }),
  ]);
  const error = union([tagged("LlmError"), tagged("OntologyError"), tagged("TimeoutError")]);
  return RpcGroup.make(
    Rpc.make("extract", { payload, success: graph, error }),
    Rpc.make("streamExtract", { payload, success: event, error, stream: true }),
    Rpc.make("getStatus", {
      payload: Schema.Struct({ requestId: Schema.String }),
      success: Schema.Struct({ status: Schema.String, result: optional(graph) }),
    }),
  ).prefix("extraction.");
};

const text = "Blade Runner is a 1982 film directed by Ridley Scott.";

const expect = (holds, what, found) => {
  if (!holds) throw new Error(`${what}: ${JSON.stringify(found)}`);
};

// `call(procedure, payload)` answers `{ value }`, `{ error }` for a typed one, or `{ defect }`; the
// value of a stream is the list of its events.
export const check = async (call) => {
  const { value: graph, ...rest } = await call("extract", { text, ontologyId: "film" });
  expect(graph?.entities.some(({ name }) => name === "Ridley Scott"), "no graph", rest);
  const options = { maxTokens: 100, temperature: 0 };
  const again = await call("extract", { text, ontologyId: "film", options });
  expect(again.value?.requestId === graph.requestId, "another graph for the same text", again);
  const status = await call("getStatus", { requestId: graph.requestId });
  expect(status.value?.status === "complete", "not complete", status);
  expect(status.value.result.requestId === graph.requestId, "another result", status);
  const nothing = await call("getStatus", { requestId: "never-submitted" });
  expect(nothing.value?.status === "not_found", "found", nothing);
  const unknown = await call("extract", { text, ontologyId: "no-such-ontology" });
  expect(unknown.error?._tag === "OntologyError", "no typed error", unknown);
  const empty = await call("extract", { text: " ", ontologyId: "film" });
  expect(String(empty.defect).includes("payload.text"), "no defect with its path", empty);
  const sentence = "Alien is a 1979 film directed by Ridley Scott. ".repeat(100);
  const stream = await call("streamExtract", { text: sentence, ontologyId: "film" });
  const types = stream.value?.map(({ type }) => type);
  expect(types?.[0] === "started" && types.at(-1) === "complete", "no stream", stream);
  expect(types.slice(1, -1).every((type) => type === "progress"), "other events", types);
  const unstreamed = await call("streamExtract", { text, ontologyId: "no-such-ontology" });
  expect(unstreamed.error?._tag === "OntologyError", "no typed error of a stream", unstreamed);
  const many = await Promise.all(
    Array.from({ length: 20 }, (_, n) => call("getStatus", { requestId: `never-${n}` })),
  );
  expect(many.every(({ value }) => value?.status === "not_found"), "calls at a time", many);
};
