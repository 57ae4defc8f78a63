// effect 3 with @effect/rpc: node effect-3.mjs URL
import { FetchHttpClient } from "@effect/platform";
import { Rpc, RpcClient, RpcGroup, RpcSerialization } from "@effect/rpc";
import { Cause, Chunk, Effect, Exit, Layer, Option, Schema, Stream } from "effect";
import { check, declare } from "./api.mjs";

const group = declare({
  Rpc,
  RpcGroup,
  Schema,
  union: (members) => Schema.Union(...members),
  optional: Schema.optional,
});

const outcome = Exit.match({
  onSuccess: (value) => ({ value }),
  onFailure: (cause) =>
    Option.match(Cause.failureOption(cause), {
      onSome: (error) => ({ error }),
      onNone: () => ({ defect: Cause.squash(cause) }),
    }),
});

for (const [name, serialization] of [
  ["json", RpcSerialization.layerJson],
  ["ndjson", RpcSerialization.layerNdjson],
]) {
  const protocol = RpcClient.layerProtocolHttp({ url: `${process.argv[2]}/api/rpc` }).pipe(
    Layer.provide([FetchHttpClient.layer, serialization]),
  );
  const program = Effect.gen(function* () {
    const { extraction } = yield* RpcClient.make(group);
    const call = (procedure, payload) => {
      const answer = extraction[procedure](payload);
      const value = Effect.isEffect(answer)
        ? answer
        : Stream.runCollect(answer).pipe(Effect.map(Chunk.toReadonlyArray));
      return Effect.runPromise(Effect.exit(value).pipe(Effect.map(outcome)));
    };
    yield* Effect.promise(() => check(call));
  });
  await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(protocol)));
  console.log(`effect 3, ${name}: ok`);
}
