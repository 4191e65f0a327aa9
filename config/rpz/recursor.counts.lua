-- PowerDNS Recursor 4.8 (Debian 12): in stopsign.lua, where Stopsign shall count its blocks (rpz.counts: protobuf).
-- Only answers that met a policy are sent, those let pass by an override too, which are not counted; and no client's address with them.
setProtobufMasks(0, 0)
protobufServer("192.0.2.53:5355", {logQueries = false, logResponses = true, taggedOnly = true})
