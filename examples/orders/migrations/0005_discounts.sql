CREATE TABLE discounts (
    code         text PRIMARY KEY CHECK (code = upper(code)),
    percent      numeric(5, 2) NOT NULL CHECK (percent > 0 AND percent <= 100),
    valid_until  date
);

ALTER TABLE orders ADD COLUMN discount text REFERENCES discounts ON DELETE SET NULL;
CREATE INDEX orders_discount_idx ON orders (discount) WHERE discount IS NOT NULL;

CREATE VIEW open_orders AS
SELECT id, number, customer_id, total, ordered_at FROM orders WHERE status = 'open';
