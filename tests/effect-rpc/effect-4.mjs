// effect 4, whose RPC client is a part of it: node effect-4.mjs URL
import { Cause, Effect, Exit, Layer, Schema, Stream } from "effect";
import { FetchHttpClient } from "effect/http";
import { Rpc, RpcClient, RpcGroup, RpcSerialization } from "effect/rpc";
import { check, declare } from "./api.mjs";

const group = declare({
  Rpc,
  RpcGroup,
  Schema,
  union: Schema.Union,
  optional: Schema.optional,
});

const outcome = (exit) => {
  if (Exit.isSuccess(exit)) return { value: exit.value };
  const failure = exit.cause.reasons.find((reason) => reason._tag === "Fail");
  return failure ? { error: failure.error } : { defect: Cause.squash(exit.cause) };
};

for (const [name, serialization] of [
  ["json", RpcSerialization.layerJson],
  ["ndjson", RpcSerialization.layerNdjson],
]) {
  const protocol = RpcClient.layerProtocolHttp({ url: `${process.argv[2]}/api/rpc` }).pipe(
    Layer.provide([FetchHttpClient.layer, serialization]),
  );
  const program = Effect.gen(function* () {
    const client = yield* RpcClient.make(group);
    const call = (procedure, payload) => {
      const answer = client[`extraction.${procedure}`](payload);
      const value = Effect.isEffect(answer) ? answer : Stream.runCollect(answer);
      return Effect.runPromise(Effect.exit(value).pipe(Effect.map(outcome)));
    };
    yield* Effect.promise(() => check(call));
    // The client wants to know that the request is stored, and no more.
    const payload = { text: "Dune is a film.", ontologyId: "film" };
    yield* client["extraction.extract"](payload, { discard: true });
  });
  await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(protocol)));
  console.log(`effect 4, ${name}: ok`);
}
