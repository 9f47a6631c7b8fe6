"""The program beside an OTN node's switch: what OTN equipment does and OpenFlow cannot."""
