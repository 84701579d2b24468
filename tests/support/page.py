"""What is written on an HTML page."""

from html.parser import HTMLParser

VOID = {"meta", "img", "source", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Its tags, which are properly nested, its links and its text."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.links, self.text = [], [], [], ""
        self.feed(text)
        assert self.open == [], "every element is closed"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.links += [v for k, v in attrs if k in ("src", "srcset", "href", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "title"):
            self.text += data

    def with_tag(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]

    def assert_complete(self):
        """It needs no other file, and its links lead somewhere."""
        assert self.links
        assert all(link.startswith(("data:image/", "#")) for link in self.links)
        assert self.with_tag("script") == self.with_tag("link") == []
        anchors = {attributes.get("id") for _, attributes in self.tags}
        assert {link[1:] for link in self.links if link.startswith("#")} <= anchors
