#!/usr/bin/env python3
"""Client traffic on every replication stream of the cluster of cluster.sh, or of the single process
of legacy.sh (standard library only).

    traffic.py --seconds 60 --rate 25 --seed 1
    traffic.py --legacy http://127.0.0.1:PORT

Registers users, makes rooms, does each action once in a fixed order, prints `ready` on stdout, then
draws actions by weight until the time is over, a SIGTERM comes, or the process that started it ends. Errors are counted, not fatal: the
servers are killed and restarted meanwhile. The last line on stdout is JSON: action -> {status: count}.
Same seed, same order of actions per run (what they meet depends on the servers).
"""

import argparse
import base64
import collections
import hashlib
import hmac
import http.client
import json
import os
import random
import signal
import sys
import threading
import time
from urllib.parse import quote, urlsplit

MAIN = "http://127.0.0.1:18008"
STREAMS = "http://127.0.0.1:18013"  # writer of typing, receipts, to_device, account_data, ...
SYNC = "http://127.0.0.1:18015"
SENDERS = [MAIN, SYNC, "http://127.0.0.1:18011", "http://127.0.0.1:18012"]
PEER = "http://127.0.0.1:28008"
SERVER_NAME = "localhost:18448"
PEER_NAME = "localhost:28448"
REGISTRATION_SECRET = "lab-registration-secret"
CLIENT = "/_matrix/client/v3"
RECEIPTS = [("m.read", {}), ("m.read", dict(thread_id="main")), ("m.read.private", {})]
TIMEOUT_SECONDS = 8
ROOMS_MAX = 60

arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
arguments.add_argument("--seconds", type=float, default=60, help="of random traffic")
arguments.add_argument("--rate", type=float, default=25, help="actions per second, all threads together")
arguments.add_argument("--seed", type=int, default=1)
arguments.add_argument("--users", type=int, default=6)
arguments.add_argument("--rooms", type=int, default=4)
arguments.add_argument("--threads", type=int, default=4)
arguments.add_argument("--only", default="", help="comma-separated actions")
arguments.add_argument("--legacy", default="", metavar="URL", help="client API of the one process of an old release")
options = arguments.parse_args()
if options.legacy:
    MAIN = STREAMS = SYNC = options.legacy
    SENDERS = [options.legacy]
    PEER = ""
    CLIENT = "/_matrix/client/r0"
    RECEIPTS = [("m.read", {})]

counts = collections.defaultdict(collections.Counter)
lock = threading.Lock()
local = threading.local()
stop = threading.Event()


def request(action, base, method, path, body=None, token=None, raw=None, content_type="application/json", ip=None):
    """One request; (status or error name, JSON object or {}). A broken kept-alive connection is tried once more."""
    url = urlsplit(base)
    connections = local.__dict__.setdefault("connections", {})
    headers = {"User-Agent": "traffic/1.0 (☃ \"q\")".encode().decode("latin1"), "Content-Type": content_type, "X-Forwarded-Proto": "https"}
    if ip:
        headers["X-Forwarded-For"] = ip
    if token:
        headers["Authorization"] = "Bearer " + token
    data = raw if raw is not None else (None if body is None else json.dumps(body).encode())
    status, answer = "", b""
    for _ in range(2):
        reused = base in connections
        connection = connections.setdefault(base, http.client.HTTPConnection(url.hostname, url.port, timeout=TIMEOUT_SECONDS))
        try:
            connection.request(method, path, data, headers)
            response = connection.getresponse()
            answer, status = response.read(), response.status
            break
        except (OSError, http.client.HTTPException) as error:
            connections.pop(base).close()
            status = type(error).__name__
            if not reused or isinstance(error, TimeoutError):
                break
    with lock:
        counts[action][str(status)] += 1
    try:
        return status, json.loads(answer)
    except ValueError:
        return status, {}


class User:
    def __init__(self, base, name, admin=False):
        self.base, self.name, self.password, self.since = base, name, "pw-" + name, None
        _, nonce = request("register_nonce", base, "GET", "/_synapse/admin/v1/register")
        parts = [nonce["nonce"], name, self.password, "admin" if admin else "notadmin"]
        mac = hmac.new(REGISTRATION_SECRET.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()
        request("register", base, "POST", "/_synapse/admin/v1/register",
                dict(nonce=parts[0], username=name, password=self.password, admin=admin, mac=mac))
        answer = self.login()
        self.token, self.id, self.device = answer["access_token"], answer["user_id"], answer["device_id"]
        self.quoted = quote(self.id)

    def login(self, device=None):
        body = dict(type="m.login.password", identifier=dict(type="m.id.user", user=self.name), password=self.password)
        if device:
            body["device_id"] = device
        return request("login", self.base, "POST", CLIENT + "/login", body)[1]


def key():
    return base64.b64encode(random.randbytes(32)).decode().rstrip("=")


def room_path(room):
    return CLIENT + f"/rooms/{quote(room)}"


class World:
    """Users and rooms. Every `do_` method is one action."""

    def __init__(self):
        self.random = random.Random(options.seed)
        self.users = [User(MAIN, f"u{options.seed}_{i}", admin=i == 0) for i in range(options.users)]
        self.admin = self.users[0]
        self.peer = self.peer_user()
        self.rooms, self.members = [], {}
        self.events = collections.defaultdict(list)
        self.last_id = options.seed * 10**9 + int(time.time() * 1000) % 10**9
        for _ in range(options.rooms):
            self.create_room()

    def peer_user(self):
        if PEER:
            try:
                http.client.HTTPConnection(urlsplit(PEER).netloc, timeout=2).connect()
                return User(PEER, f"peer{options.seed}", admin=True)
            except OSError:
                print("# no peer", file=sys.stderr)

    def next_id(self):
        with lock:
            self.last_id += 1
            return self.last_id

    def create_room(self, action="create_room"):
        user = self.random.choice(self.users)
        _, answer = request(action, self.random.choice(SENDERS[:2]), "POST", CLIENT + "/createRoom",
                            dict(preset="public_chat", name="room", topic="é ☃"), user.token)
        room = answer.get("room_id")
        if room:
            self.members[room] = [user]
            self.rooms.append(room)
            for other in self.users:
                if other is not user and self.random.random() < 0.6:
                    self.join(other, room)
        return room

    def join(self, user, room):
        status, _ = request("join", self.random.choice(SENDERS[:2]), "POST", CLIENT + f"/join/{quote(room)}", {}, user.token)
        if status == 200 and user not in self.members[room]:
            self.members[room].append(user)

    def pick(self):
        room = self.random.choice(self.rooms)
        return room, self.random.choice(self.members[room])

    def send(self, action, room, user, kind, content, query="", base=None):
        return request(action, base or self.random.choice(SENDERS), "PUT",
                       room_path(room) + f"/send/{kind}/{self.next_id()}{query}", content, user.token,
                       ip=f"10.1.2.{self.random.randrange(1, 9)}")

    # events, profile_updates (through joins), sticky_events

    def do_message(self):
        room, user = self.pick()
        body = self.random.choice(["hello", "ünï☃𝄞 \\ \"quoted\"", "x" * self.random.randrange(1, 2000), "line\nbreak\ttab", "  spaces  "])
        _, answer = self.send("message", room, user, "m.room.message", dict(msgtype="m.text", body=body))
        if "event_id" in answer:
            self.events[room].append(answer["event_id"])

    def do_state(self):
        room, _ = self.pick()
        kind = self.random.choice(["m.room.topic", "org.lab.state/a%20key%2Fslash"])
        request("state", self.random.choice(SENDERS), "PUT", room_path(room) + "/state/" + kind,
                dict(topic=str(self.random.random())), self.members[room][0].token)

    def do_redact(self):
        room, _ = self.pick()
        if self.events[room]:
            event = self.events[room].pop(self.random.randrange(len(self.events[room])))
            request("redact", self.random.choice(SENDERS), "PUT", room_path(room) + f"/redact/{quote(event, safe='')}/{self.next_id()}",
                    {}, self.members[room][0].token)

    def do_reaction(self):
        room, user = self.pick()
        if self.events[room]:
            relation = dict(rel_type="m.annotation", event_id=self.random.choice(self.events[room]), key=f"👍{self.next_id()}")
            self.send("reaction", room, user, "m.reaction", {"m.relates_to": relation})

    def do_sticky(self):
        room, user = self.pick()
        self.send("sticky", room, user, "m.room.message", dict(msgtype="m.text", body="sticky"),
                  "?org.matrix.msc4354.sticky_duration_ms=300000")

    def do_create_room(self):
        if len(self.rooms) < ROOMS_MAX:
            self.create_room()

    def do_join_leave(self):
        room, user = self.pick()
        if len(self.members[room]) > 1 and user is not self.members[room][0]:
            self.members[room].remove(user)
            request("leave", self.random.choice(SENDERS[:2]), "POST", room_path(room) + "/leave", {}, user.token)
        self.join(self.random.choice(self.users), room)

    def do_profile(self):
        user = self.random.choice(self.users)
        for _ in range(self.random.choice([1, 2, 3])):
            request("profile", MAIN, "PUT", CLIENT + f"/profile/{user.quoted}/displayname", dict(displayname=f"Name {self.next_id()}"), user.token)

    def do_room_delete(self):
        room = self.create_room("create_doomed_room")
        if room:
            self.rooms.remove(room)
            for _ in range(3):
                self.send("doomed_message", room, self.members[room][0], "m.room.message", dict(msgtype="m.text", body="x"), base=MAIN)
            request("room_delete", MAIN, "DELETE", f"/_synapse/admin/v2/rooms/{quote(room)}", dict(purge=True), self.admin.token)

    # typing, receipts, presence, to_device, account_data, push_rules, device_lists, thread_subscriptions

    def do_typing(self):
        room, user = self.pick()
        request("typing", STREAMS, "PUT", room_path(room) + f"/typing/{user.quoted}",
                dict(typing=self.random.random() < 0.7, timeout=self.random.choice([1000, 30000])), user.token)

    def do_receipt(self):
        room, user = self.pick()
        if self.events[room]:
            event, (kind, body) = quote(self.random.choice(self.events[room]), safe=""), self.random.choice(RECEIPTS)
            request("receipt", STREAMS, "POST", room_path(room) + f"/receipt/{kind}/{event}", body, user.token)

    def do_read_markers(self):
        room, user = self.pick()
        if self.events[room]:
            event = self.random.choice(self.events[room])
            request("read_markers", STREAMS, "POST", room_path(room) + "/read_markers", {"m.fully_read": event, "m.read": event}, user.token)

    def do_presence(self):
        user = self.random.choice(self.users)
        request("presence", STREAMS, "PUT", CLIENT + f"/presence/{user.quoted}/status",
                dict(presence=self.random.choice(["online", "unavailable", "offline"]), status_msg=self.random.choice(["busy", "a b c", "☃"])), user.token)

    def do_to_device(self):
        user, other = self.random.sample(self.users, 2)
        messages = {other.id: {other.device: dict(algorithm="x", n=self.next_id())}, user.id: {"*": dict(n=1)}}
        if self.peer and self.random.random() < 0.2:
            messages[self.peer.id] = {self.peer.device: dict(n=2)}
        request("to_device", STREAMS, "PUT", CLIENT + f"/sendToDevice/m.lab/{self.next_id()}", dict(messages=messages), user.token)

    def do_account_data(self):
        user = self.random.choice(self.users)
        kind = self.random.choice(["m.direct", "org.lab.x", "m.ignored_user_list"])
        request("account_data", STREAMS, "PUT", CLIENT + f"/user/{user.quoted}/account_data/{kind}", dict(v=self.next_id(), ignored_users={}), user.token)

    def do_room_account_data(self):
        room, user = self.pick()
        request("room_account_data", STREAMS, "PUT", CLIENT + f"/user/{user.quoted}/rooms/{quote(room)}/account_data/org.lab.room",
                dict(v=self.next_id()), user.token)

    def do_tag(self):
        room, user = self.pick()
        method, body = ("PUT", dict(order=self.random.random())) if self.random.random() < 0.7 else ("DELETE", None)
        request("tag", STREAMS, method, CLIENT + f"/user/{user.quoted}/rooms/{quote(room)}/tags/m.favourite", body, user.token)

    def do_keys(self):
        user = self.random.choice(self.users)
        signatures = lambda: {user.id: {f"ed25519:{user.device}": key()}}
        device_keys = dict(user_id=user.id, device_id=user.device, algorithms=["m.olm.v1.curve25519-aes-sha2"], signatures=signatures(),
                           keys={f"curve25519:{user.device}": key(), f"ed25519:{user.device}": key()})
        one_time_keys = {f"signed_curve25519:{self.next_id()}": dict(key=key(), signatures=signatures())}
        request("keys_upload", STREAMS, "POST", CLIENT + "/keys/upload", dict(device_keys=device_keys, one_time_keys=one_time_keys), user.token)

    def do_keys_claim(self):
        user, other = self.random.sample(self.users, 2)
        request("keys_claim", STREAMS, "POST", CLIENT + "/keys/claim", dict(one_time_keys={other.id: {other.device: "signed_curve25519"}}), user.token)

    def do_device(self):
        user, device = self.random.choice(self.users), f"D{self.random.randrange(5)}"
        token = user.login(device).get("access_token")
        if token:
            request("device_rename", STREAMS, "PUT", CLIENT + f"/devices/{device}", dict(display_name=f"n{self.next_id()}"), user.token)
            if self.random.random() < 0.6:
                request("logout", MAIN, "POST", CLIENT + "/logout", {}, token)

    def do_push_rule(self):
        user, rule, draw = self.random.choice(self.users), f"rule{self.random.randrange(3)}", self.random.random()
        path = CLIENT + "/pushrules/global/"
        if draw < 0.6:
            request("push_rule", STREAMS, "PUT", path + f"content/{rule}", dict(pattern="lab*", actions=["notify"]), user.token)
        elif draw < 0.8:
            request("push_rule", STREAMS, "PUT", path + "override/.m.rule.master/enabled", dict(enabled=False), user.token)
        else:
            request("push_rule", STREAMS, "DELETE", path + f"content/{rule}", None, user.token)

    def do_thread(self):
        room, user = self.pick()
        if self.events[room]:
            event = self.random.choice(self.events[room])
            status, _ = self.send("thread_message", room, user, "m.room.message",
                                  {"msgtype": "m.text", "body": "in thread", "m.relates_to": dict(rel_type="m.thread", event_id=event)})
            if status == 200:
                request("thread_subscription", STREAMS, self.random.choice(["PUT", "PUT", "DELETE"]),
                        f"/_matrix/client/unstable/io.element.msc4306/rooms/{quote(room)}/thread/{quote(event, safe='')}/subscription", {}, user.token)

    # pushers, quarantined_media, caches

    def do_pusher(self):
        user = self.random.choice(self.users)
        request("pusher", MAIN, "POST", CLIENT + "/pushers/set",
                dict(kind=self.random.choice(["http", "http", None]), app_id="org.lab", pushkey=f"k{self.random.randrange(3)}", app_display_name="a",
                     device_display_name="d", lang="en", data=dict(url="http://127.0.0.1:1/_matrix/push/v1/notify")), user.token)

    def do_media(self):
        _, answer = request("media_upload", MAIN, "POST", "/_matrix/media/v3/upload?filename=a.txt", None, self.admin.token,
                            raw=b"hello %d" % self.next_id(), content_type="text/plain")
        if "content_uri" in answer:
            media = answer["content_uri"].removeprefix("mxc://")
            request("media_quarantine", MAIN, "POST", f"/_synapse/admin/v1/media/quarantine/{media}", {}, self.admin.token)
            if self.random.random() < 0.4:
                request("media_unquarantine", MAIN, "POST", f"/_synapse/admin/v1/media/unquarantine/{media}", {}, self.admin.token)

    def do_password(self):
        user = self.users[-1]
        request("password", MAIN, "POST", f"/_synapse/admin/v1/reset_password/{user.quoted}",
                dict(new_password=user.password, logout_devices=False), self.admin.token)

    # streams of old releases: public_rooms, groups; several rows in one send

    def do_public_room(self):
        room, _ = self.pick()
        request("public_room", MAIN, "PUT", CLIENT + f"/directory/list/room/{quote(room)}",
                dict(visibility=self.random.choice(["public", "private"])), self.members[room][0].token)

    def do_group(self):
        request("create_group", MAIN, "POST", CLIENT + "/create_group", dict(localpart=f"g{self.next_id()}"), self.admin.token)

    def do_burst(self):
        """The same few actions from several clients at once: their rows go out in one send."""
        names = self.random.choice([["account_data", "room_account_data", "tag"], ["keys", "device"], ["to_device", "typing", "presence"], ["message"]])

        def several():
            for name in names * 5:
                act(self, name)

        threads = [threading.Thread(target=several) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    # USER_SYNC, USER_IP, presence

    def do_sync(self):
        user = self.random.choice(self.users)
        query = f"?timeout={self.random.choice([0, 0, 300, 1500])}&set_presence=" + self.random.choice(["online", "unavailable"])
        query += f"&since={quote(user.since)}" if user.since else "&filter=" + quote('{"room":{"timeline":{"limit":1}}}')
        _, answer = request("sync", SYNC, "GET", CLIENT + "/sync" + query, None, user.token, ip=f"10.9.8.{self.random.randrange(1, 5)}")
        user.since = answer.get("next_batch", user.since)

    # federation: presence_federation, backfill, un_partial_stated_room, un_partial_stated_event

    def do_peer_joins(self):
        """A user of the peer joins a room here and speaks there."""
        if not self.peer:
            return
        peer, (room, user) = self.peer, self.pick()
        here = quote(SERVER_NAME)
        status, _ = request("peer_join", PEER, "POST", CLIENT + f"/join/{quote(room)}?server_name={here}&via={here}", {}, peer.token)
        if status == 200:
            for i in range(3):
                self.send("peer_message", room, peer, "m.room.message", dict(msgtype="m.text", body=f"from peer {i}"), base=PEER)
            request("peer_typing", PEER, "PUT", room_path(room) + f"/typing/{peer.quoted}", dict(typing=True, timeout=20000), peer.token)
            request("peer_presence", PEER, "PUT", CLIENT + f"/presence/{peer.quoted}/status",
                    dict(presence=self.random.choice(["online", "unavailable"])), peer.token)
            request("peer_device", PEER, "PUT", CLIENT + f"/devices/{peer.device}", dict(display_name=f"n{self.next_id()}"), peer.token)
            request("peer_to_device", PEER, "PUT", CLIENT + f"/sendToDevice/m.lab/{self.next_id()}", dict(messages={user.id: {"*": dict(n=1)}}), peer.token)

    def do_join_at_peer(self):
        """A user from here joins a room of the peer that has a history, and pages back."""
        if not self.peer:
            return
        user, there = self.random.choice(self.users), quote(PEER_NAME)
        _, answer = request("peer_create", PEER, "POST", CLIENT + "/createRoom", dict(preset="public_chat", name="peer room"), self.peer.token)
        room = answer.get("room_id")
        if not room:
            return
        for i in range(40):
            self.send("peer_message", room, self.peer, "m.room.message", dict(msgtype="m.text", body=f"old {i}"), base=PEER)
        status, _ = request("join_at_peer", MAIN, "POST", CLIENT + f"/join/{quote(room)}?server_name={there}&via={there}", {}, user.token)
        if status == 200:
            self.members[room] = [user]
            self.rooms.append(room)
            start = ""
            for _ in range(4):
                _, answer = request("page_back", SYNC, "GET", room_path(room) + f"/messages?dir=b&limit=12{start}", None, user.token)
                if "end" not in answer:
                    break
                start = "&from=" + quote(answer["end"])


# The order is that of the first round: what needs events comes after the messages.
WEIGHTS = dict(
    message=20, state=4, reaction=4, thread=3, sticky=2, typing=8, receipt=8, read_markers=2, presence=5, to_device=5, account_data=5,
    room_account_data=3, tag=3, keys=3, keys_claim=1, device=2, push_rule=3, pusher=2, profile=2, join_leave=4, sync=14, create_room=0.7,
    media=1, room_delete=0.5, password=0.3, peer_joins=0.6, join_at_peer=0.3, redact=3)
if options.legacy:
    for name in ("thread", "sticky", "media", "room_delete", "password", "peer_joins", "join_at_peer"):
        del WEIGHTS[name]
    WEIGHTS.update(public_room=2, group=1, burst=1)


def act(world, name):
    try:
        getattr(world, "do_" + name)()
    except Exception as error:  # counted and shown; the servers are restarted under our feet
        with lock:
            counts[name]["failed: " + repr(error)[:80]] += 1


def main():
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    parent = os.getppid()
    world = World()
    names = [name for name in WEIGHTS if not options.only or name in options.only.split(",")]
    for room in world.rooms:
        user = world.members[room][0]
        _, answer = world.send("message", room, user, "m.room.message", dict(msgtype="m.text", body="first"))
        world.events[room].append(answer["event_id"])
    for name in names:
        act(world, name)
    print("ready", flush=True)

    end = time.monotonic() + options.seconds
    weights = [WEIGHTS[name] for name in names]

    def loop():
        due = time.monotonic()
        while time.monotonic() < end and not stop.is_set() and os.getppid() == parent:
            with lock:
                name = world.random.choices(names, weights)[0]
            act(world, name)
            due = max(due + options.threads / options.rate, time.monotonic() - 1)
            stop.wait(max(0.0, min(due, end) - time.monotonic()))

    threads = [threading.Thread(target=loop) for _ in range(options.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(counts, sort_keys=True), flush=True)


main()
