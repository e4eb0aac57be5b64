"""TensorBoard's event files, read back."""

from tensorboardX.proto.event_pb2 import Event, SessionLog


def read_events(folder):
    """[(tag, step, value)] of all files in the folder, and the steps that purge."""
    found, purged = [], []
    for file in sorted(folder.iterdir()):
        data, at = file.read_bytes(), 0
        while at < len(data):  # a record: its length, 4 bytes, itself, 4 bytes
            length = int.from_bytes(data[at : at + 8], "little")
            event = Event.FromString(data[at + 12 : at + 12 + length])
            at += 16 + length
            if event.session_log.status == SessionLog.START:
                purged.append(event.step)
            found += [(v.tag, event.step, v.simple_value) for v in event.summary.value]
    return found, purged
