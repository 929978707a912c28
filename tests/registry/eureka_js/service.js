// A service that uses eureka-js-client as its users do: run by the tests as a process of its own.
//
// Arguments: the servers' URLs, with commas between; the lease's duration in seconds. It obeys the
// words on its input, one a line, and answers each with one line.

const { Eureka } = require("eureka-js-client");
const readline = require("readline");

const [urls, duration] = process.argv.slice(2);
const client = new Eureka({
  instance: {
    instanceId: "127.0.0.1:js-app:9098",
    app: "js-app",
    hostName: "127.0.0.1",
    ipAddr: "127.0.0.1",
    port: { $: 9098, "@enabled": true },
    vipAddress: "js-app",
    leaseInfo: { renewalIntervalInSecs: 1, durationInSecs: Number(duration) },
    metadata: { build_number: "7" },
    dataCenterInfo: {
      "@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo",
      name: "MyOwn",
    },
  },
  eureka: {
    serviceUrls: { default: urls.split(",").map((url) => `${url}/eureka/v2/apps/`) },
    heartbeatInterval: 1000,
    registryFetchInterval: 1000,
    requestRetryDelay: 100,
  },
  requestMiddleware: (options, done) => done({ ...options, timeout: 5000 }),
  shouldUseDelta: true,
});
client.logger.level("error");

const say = (line) => console.log(`> ${line}`);

client.start((error) => say(error ? `failed ${error.message}` : "ready"));
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const [word, what] = line.trim().split(" ");
  if (word === "find") {
    const found = client.getInstancesByAppId(what);
    say(found.map((one) => `${one.ipAddr}:${one.port.$}`).join(" ") || "nobody");
  } else if (word === "stop") {
    client.stop(() => {
      say("done");
      process.exit(0);
    });
  }
});
