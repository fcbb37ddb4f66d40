"""The QStash dialect: `/v2`, as the SDKs `qstash` and `@upstash/qstash` use it."""
